//! The listener through real sockets: every status, and every rule that keeps others out.

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use mayday::alert::Format;
use mayday::core::duration::Span;
use mayday::http::options::{Auth, Integration};
use reqwest::{Client, Response, StatusCode, redirect};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::web_world::{LINK, TOKEN, World, faults, full_card};

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap()
}

fn value(text: &str) -> secrecy::SecretString {
    text.to_owned().into()
}

fn integration(name: &str, format: Option<Format>, auth: Auth) -> Integration {
    Integration { name: name.into(), format, auth }
}

async fn open() -> World {
    World::start(|options| options.open_webhooks_on_loopback = true).await
}

/// Status and body; every error says what is wrong and what to do.
async fn told(response: Response) -> (u16, Value) {
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    if status.is_client_error() || status.is_server_error() {
        for part in ["error", "fix"] {
            assert!(body[part].as_str().is_some_and(|text| !text.is_empty()), "{status}: {body}");
        }
    }
    (status.as_u16(), body)
}

const BODY: &str = r#"{"alerts": [{}, {}]}"#;

async fn send(world: &World, path: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> (u16, Value) {
    let mut request = client().post(world.url(path)).header("content-type", "application/json").body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    told(request.send().await.unwrap()).await
}

#[tokio::test]
async fn alerts_of_every_format_are_taken_and_a_bad_one_is_named() {
    let world = open().await;
    for (path, format) in [
        ("alert", Format::Alert),
        ("alertmanager", Format::Alertmanager),
        ("zabbix", Format::Zabbix),
        ("generic", Format::Generic),
    ] {
        let (status, body) = send(&world, &format!("/webhook/{path}"), &[], BODY).await;
        assert_eq!((status, &body["accepted"]), (200, &json!(2)), "{path}");
        assert_eq!(world.taken.lock().unwrap().pop().unwrap().format, format);
    }
    let (status, body) = send(&world, "/webhook/alert", &[], r#"{"bad": 1}"#).await;
    assert_eq!(status, 200);
    assert_eq!(body["rejected"], json!([{"index": 1, "why": "no name"}]));
    let (status, body) = send(&world, "/webhook/alert", &[], "nonsense").await;
    assert_eq!((status, body["error"].as_str()), (400, Some("line 1: not JSON")));
    assert_eq!(send(&world, "/webhook/nagios", &[], BODY).await.0, 404);
}

#[tokio::test]
async fn a_body_that_is_no_json_text_is_415() {
    let world = open().await;
    let plain = |kind: &'static str, body: Vec<u8>| {
        let request = client().post(world.url("/webhook/alert")).body(body);
        let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
        async move { told(request.send().await.unwrap()).await.0 }
    };
    assert_eq!(plain("text/plain", BODY.into()).await, 415);
    assert_eq!(plain("application/x-www-form-urlencoded", BODY.into()).await, 415);
    assert_eq!(plain("", BODY.into()).await, 415);
    assert_eq!(plain("application/json; charset=utf-16", BODY.into()).await, 415);
    assert_eq!(plain("application/json", vec![b'{', 0xff, 0xfe, b'}']).await, 415);
    assert_eq!(plain("application/json; charset=UTF-8", BODY.into()).await, 200);
    assert_eq!(send(&world, "/webhook/alert", &[("content-encoding", "br")], BODY).await.0, 415);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_whether_said_counted_or_unpacked() {
    let world = World::start(|options| {
        options.open_webhooks_on_loopback = true;
        options.max_body_bytes = 10_000;
    })
    .await;
    let large = format!("[{}]", " ".repeat(20_000));
    assert_eq!(send(&world, "/webhook/alert", &[], large.clone()).await.0, 413);
    let pieces: Vec<Result<String, std::io::Error>> = (0..20).map(|_| Ok(" ".repeat(1_000))).collect();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    assert_eq!(send(&world, "/webhook/alert", &[], stream).await.0, 413);

    let zipped = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let gzip = [("content-encoding", "gzip")];
    assert_eq!(send(&world, "/webhook/alert", &gzip, zipped(BODY)).await.0, 200);
    assert_eq!(send(&world, "/webhook/alert", &gzip, zipped(&large)).await.0, 413, "a bomb");
    assert_eq!(send(&world, "/webhook/alert", &gzip, BODY).await.0, 400, "not gzip at all");
}

#[tokio::test]
async fn overload_is_503_with_a_time_to_come_again() {
    let world = World::start(|options| {
        options.open_webhooks_on_loopback = true;
        options.max_body_bytes = 100_000;
        options.max_inflight_bytes = 150_000;
    })
    .await;
    world.intake.busy.store(true, Ordering::Relaxed);
    let response = client().post(world.url("/webhook/alert")).json(&json!({})).send().await.unwrap();
    assert_eq!(
        (response.status(), response.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, "3")
    );
    world.intake.busy.store(false, Ordering::Relaxed);

    // Two large bodies don't fit at the same time while the first is being stored.
    world.intake.delay_ms.store(2_000, Ordering::Relaxed);
    let large = format!("[{}]", " ".repeat(90_000));
    let (first, second) = tokio::join!(send(&world, "/webhook/alert", &[], large.clone()), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        send(&world, "/webhook/alert", &[], large.clone()).await
    });
    assert_eq!((first.0, second.0), (200, 503));
}

#[tokio::test]
async fn an_integration_proves_itself_with_its_own_secret_and_a_token_in_the_address_is_never_read() {
    let world = World::start(|options| {
        options.integrations = vec![
            integration("prod", Some(Format::Alertmanager), Auth::Bearer { token: value("s3cret") }),
            integration("zbx", None, Auth::Basic { user: "zabbix".into(), password: value("pa:ss") }),
            integration("signed", None, Auth::Hmac { secret: value("key"), header: "X-Mayday-Signature".into() }),
        ];
    })
    .await;
    let basic = |text: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
    mac.update(BODY.as_bytes());
    let tag = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let signature = format!("sha256={tag}");
    type Case<'a> = (&'a str, Vec<(&'a str, String)>, u16, Option<&'a str>);
    let cases: Vec<Case<'_>> = vec![
        ("/webhook/alertmanager", vec![("authorization", "Bearer s3cret".into())], 200, Some("prod")),
        ("/webhook/alertmanager/prod", vec![("authorization", "bearer s3cret".into())], 200, Some("prod")),
        ("/webhook/zabbix/zbx", vec![("authorization", basic("zabbix:pa:ss"))], 200, Some("zbx")),
        ("/webhook/generic/signed", vec![("x-mayday-signature", signature.clone())], 200, Some("signed")),
        ("/webhook/generic", vec![("x-mayday-signature", tag)], 200, Some("signed")),
        ("/webhook/alertmanager", vec![], 401, None),
        ("/webhook/alertmanager", vec![("authorization", "Bearer wrong".into())], 401, None),
        ("/webhook/zabbix/prod", vec![("authorization", "Bearer s3cret".into())], 401, None),
        ("/webhook/zabbix/zbx", vec![("authorization", basic("zabbix:pass"))], 401, None),
        ("/webhook/generic/signed", vec![("x-mayday-signature", signature.replace('a', "b"))], 401, None),
        ("/webhook/alertmanager/nobody", vec![("authorization", "Bearer s3cret".into())], 401, None),
        ("/webhook/alertmanager/prod?token=s3cret", vec![], 401, None),
    ];
    for (path, headers, status, who) in cases {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(send(&world, path, &headers, BODY).await.0, status, "{path} {headers:?}");
        let taken = world.taken.lock().unwrap().pop();
        assert_eq!(taken.as_ref().map(|taken| taken.integration.as_str()), who, "{path}");
    }
}

#[tokio::test]
async fn a_slow_body_is_cut_off_and_a_huge_header_is_refused() {
    let world = World::start(|options| {
        options.open_webhooks_on_loopback = true;
        options.body_timeout = "300ms".parse::<Span>().unwrap();
    })
    .await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = "POST /webhook/alert HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1_000];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).starts_with("HTTP/1.1 408"));

    let header = "x".repeat(40_000);
    let answer = client().get(world.url("/health")).header("x-large", header).send().await.unwrap();
    assert_eq!(answer.status(), 431);
}

#[tokio::test]
async fn health_ready_and_metrics_are_open_and_say_how_it_is() {
    let world = open().await;
    let (status, body) = told(client().get(world.url("/health")).send().await.unwrap()).await;
    assert_eq!((status, &body["status"], &body["parts"][0]["name"]), (200, &json!("ok"), &json!("store")));
    assert_eq!(told(client().get(world.url("/ready")).send().await.unwrap()).await.0, 200);
    world.ready.store(false, Ordering::Relaxed);
    let response = client().get(world.url("/ready")).send().await.unwrap();
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(told(response).await.0, 503);
    let (status, body) = told(client().get(world.url("/health")).send().await.unwrap()).await;
    assert_eq!((status, &body["status"]), (503, &json!("down")));
    let metrics = client().get(world.url("/metrics")).send().await.unwrap();
    assert!(metrics.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert!(metrics.text().await.unwrap().contains("mayday_alerts_accepted_total 3"));
    assert_eq!(told(client().get(world.url("/nowhere")).send().await.unwrap()).await.0, 404);
    assert_eq!(told(client().put(world.url("/health")).send().await.unwrap()).await.0, 405);
}

#[tokio::test]
async fn the_api_needs_a_token_and_its_pages_have_no_gap() {
    let world = open().await;
    assert_eq!(told(client().get(world.url("/api/v1/incidents")).send().await.unwrap()).await.0, 401);
    assert_eq!(
        told(client().get(world.url("/api/v1/incidents")).bearer_auth("wrong").send().await.unwrap()).await.0,
        401
    );
    let get = async |path: String| told(client().get(world.url(&path)).bearer_auth(TOKEN).send().await.unwrap()).await;
    for collection in ["alerts", "incidents", "runs", "audit"] {
        let mut seen = Vec::new();
        let mut path = format!("/api/v1/{collection}?limit=30");
        loop {
            let (status, body) = get(path).await;
            assert_eq!(status, 200);
            seen.extend(body["items"].as_array().unwrap().iter().map(|item| item["n"].as_u64().unwrap()));
            let Some(cursor) = body["next_cursor"].as_str() else { break };
            path = format!("/api/v1/{collection}?limit=30&cursor={cursor}");
        }
        assert_eq!(seen, (0..100).collect::<Vec<u64>>());
    }
    assert_eq!(get("/api/v1/incidents/INC-7".into()).await.1["id"], "INC-7");
    assert_eq!(get("/api/v1/incidents/INC-8".into()).await.0, 404);
    assert_eq!(get("/api/v1/wishes".into()).await.0, 404);
    assert_eq!(get("/api/v1/alerts?cursor=x".into()).await.0, 400);
    assert_eq!(get("/api/v1/alerts?limti=3".into()).await.0, 400);
}

#[tokio::test]
async fn a_terminal_says_a_command_as_itself_and_only_an_admin_as_someone_else() {
    let world = open().await;
    let say = async |token: &str, body: Value| {
        told(client().post(world.url("/api/v1/say")).bearer_auth(token).json(&body).send().await.unwrap()).await
    };
    let (status, body) = say(TOKEN, json!({"text": "/mayday echo hello"})).await;
    assert_eq!((status, &body["ok"], &body["text"]), (200, &json!(true), &json!("echo hello")));
    assert!(world.chat.channels().await.unwrap().is_empty(), "without a channel nothing is posted");
    say(TOKEN, json!({"text": "echo hi", "channel": "orders", "as": "web:ana"})).await;
    {
        let said = world.said.lock().unwrap();
        assert_eq!(said[1].person.id.0, "web:ana");
        assert_eq!(said[1].impersonated_by.as_ref().unwrap().id.0, "web:admin");
    }
    assert_eq!(say("viewer-token", json!({"text": "echo hi", "as": "web:ana"})).await.0, 403);
    assert_eq!(say(TOKEN, json!({"text": "echo hi", "as": "web:nobody"})).await.0, 400);
    assert_eq!(say(TOKEN, json!({"text": "  "})).await.0, 400);
    assert_eq!(say(TOKEN, json!({"txet": "help"})).await.0, 422);
}

#[tokio::test]
async fn the_link_signs_in_once_and_looking_at_it_does_not_use_it_up() {
    let world = open().await;
    let http = client();
    for _ in 0..3 {
        let page = http.get(world.url(&format!("/sign-in?token={LINK}"))).send().await.unwrap();
        assert_eq!(page.status(), 200);
        assert!(!page.headers().contains_key("set-cookie"));
    }
    let redeem = || http.post(world.url("/sign-in")).form(&[("token", LINK), ("next", "//evil.example")]).send();
    let signed_in = redeem().await.unwrap();
    assert_eq!((signed_in.status(), signed_in.headers()["location"].to_str().unwrap()), (StatusCode::SEE_OTHER, "/"));
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let again = redeem().await.unwrap();
    assert_eq!(again.status(), 401);
    assert!(again.text().await.unwrap().contains("was used already"));

    let cookie = cookie.split(';').next().unwrap().to_owned();
    let page = http.get(world.url("/")).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    let csrf = page.split("name=\"mayday-csrf\" content=\"").nth(1).unwrap().split('"').next().unwrap();
    let out =
        http.post(world.url("/sign-out")).header("cookie", &cookie).header("x-mayday-csrf", csrf).send().await.unwrap();
    assert_eq!(out.status(), 204);
    let after = http.get(world.url("/")).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(after.headers()["location"], "/sign-in");
}

#[tokio::test]
async fn a_password_signs_in_and_a_wrong_one_does_not() {
    let world = open().await;
    let try_with = async |password: &str| {
        let form = [("name", "ana"), ("password", password), ("next", "/incidents")];
        client().post(world.url("/sign-in")).form(&form).send().await.unwrap()
    };
    assert_eq!(try_with("correct horse").await.headers()["location"], "/incidents");
    let wrong = try_with("correct house").await;
    assert_eq!(wrong.status(), 401);
    assert!(wrong.text().await.unwrap().contains("do not match"));
}

#[tokio::test]
async fn who_is_not_signed_in_sees_nothing_of_the_channel() {
    let world = open().await;
    world.show("INC-7", 1, full_card()).await;
    for path in ["/", "/channels/orders", "/incidents", "/incidents/INC-7", "/incidents/INC-7/evidence/E1"] {
        let response = client().get(world.url(path)).send().await.unwrap();
        assert_eq!(response.status(), 303, "{path}");
        assert!(response.headers()["location"].to_str().unwrap().starts_with("/sign-in"));
    }
    for path in
        ["/channels/orders/messages", "/channels/orders/threads/1", "/events?channel=orders", "/complete?line=a"]
    {
        assert_eq!(told(client().get(world.url(path)).send().await.unwrap()).await.0, 401, "{path}");
    }
}

#[tokio::test]
async fn a_change_needs_the_pages_token_and_must_come_from_our_own_page() {
    let world = open().await;
    let cookie = world.sign_in().await;
    let page = client().get(world.url("/")).header("cookie", &cookie).send().await.unwrap().text().await.unwrap();
    let csrf = page.split("name=\"mayday-csrf\" content=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let other = World::start(|_| {}).await;
    let say = async |headers: &[(&str, &str)]| {
        let body = json!({"text": "echo hi", "channel": "orders"});
        let mut request = client().post(world.url("/say")).header("cookie", &cookie).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        told(request.send().await.unwrap()).await.0
    };
    let own = world.url("");
    assert_eq!(say(&[("x-mayday-csrf", &csrf), ("origin", &own)]).await, 200);
    assert_eq!(say(&[("x-mayday-csrf", &csrf), ("sec-fetch-site", "same-origin")]).await, 200);
    assert_eq!(say(&[]).await, 403, "no token");
    assert_eq!(say(&[("x-mayday-csrf", &format!("{csrf}x"))]).await, 403, "a wrong token");
    assert_eq!(say(&[("x-mayday-csrf", &csrf), ("origin", "http://evil.example")]).await, 403);
    assert_eq!(say(&[("x-mayday-csrf", &csrf), ("origin", &other.url(""))]).await, 403, "another port is another site");
    assert_eq!(say(&[("x-mayday-csrf", &csrf), ("origin", "null")]).await, 403);
    assert_eq!(say(&[("x-mayday-csrf", &csrf), ("sec-fetch-site", "cross-site")]).await, 403);
    assert_eq!(send(&world, "/webhook/alert", &[("origin", "http://evil.example")], BODY).await.0, 403);
    assert_eq!(world.said.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_foreign_name_for_our_address_is_refused_everywhere() {
    let world = open().await;
    let cookie = world.sign_in().await;
    for path in ["/", "/api/v1/incidents", "/health", "/events?channel=orders"] {
        let request = client().get(world.url(path)).header("cookie", &cookie).header("host", "rebound.evil.example:80");
        assert_eq!(told(request.send().await.unwrap()).await.0, 421, "{path}");
    }
    assert_eq!(send(&world, "/webhook/alert", &[("host", "rebound.evil.example")], BODY).await.0, 421);
    let named = World::start(|options| options.allowed_hosts = vec!["mayday.internal".into()]).await;
    let request = client().get(named.url("/health")).header("host", "mayday.internal");
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_keep_a_browser_safe() {
    let world = open().await;
    let cookie = world.sign_in().await;
    for path in ["/", "/sign-in", "/health", "/nowhere", "/api/v1/incidents"] {
        let response = client().get(world.url(path)).header("cookie", &cookie).send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let referrer = if path == "/sign-in" { "same-origin" } else { "no-referrer" };
        assert_eq!(header("referrer-policy"), referrer, "{path}");
        let html = response.text().await.unwrap();
        for inline in ["<script>", "onclick=", "style=\"", "javascript:"] {
            assert!(!html.contains(inline), "{path} has {inline}");
        }
    }
}

#[tokio::test]
async fn behind_https_the_cookie_is_bound_to_the_host_and_never_sent_in_the_clear() {
    let world = World::start(|options| options.public_url = Some("https://mayday.example.com".into())).await;
    let form = [("token", LINK)];
    let request = client().post(world.url("/sign-in")).header("host", "mayday.example.com").form(&form);
    let cookie = request.send().await.unwrap().headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-mayday=") && cookie.contains("; Secure"), "{cookie}");
}

#[tokio::test]
async fn the_live_feed_makes_up_for_what_was_missed_and_ends_with_the_session_or_the_listener() {
    let world = open().await;
    let cookie = world.sign_in().await;
    world.show("INC-7", 1, full_card()).await;
    let after = world.chat.page("orders", None, 10).await.unwrap().revision.0;
    world.chat.say("orders", Some("INC-7"), "Mayday", mayday::chat::Content::Text("missed line".into())).await.unwrap();
    let url = world.url(&format!("/events?channel=orders&after={after}"));
    let mut feed = client().get(url).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(feed.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    let mut read_until = async |feed: &mut Response, wanted: &str| {
        while !text.contains(wanted) {
            let chunk = tokio::time::timeout(Duration::from_secs(5), feed.chunk())
                .await
                .unwrap_or_else(|_| panic!("no {wanted} in {text}"));
            text.push_str(&String::from_utf8_lossy(&chunk.unwrap().unwrap()));
        }
        assert!(!text.contains("answer nothing"), "what the page had already does not come again");
    };
    read_until(&mut feed, "missed line").await;
    world.chat.say("orders", Some("INC-7"), "Mayday", mayday::chat::Content::Text("live line".into())).await.unwrap();
    read_until(&mut feed, "live line").await;
    let stopping = tokio::time::timeout(Duration::from_secs(4), world.stop());
    assert!(stopping.await.is_ok(), "an open feed does not hold the listener up");
}

#[tokio::test]
async fn the_demo_has_its_panel_and_nobody_else_does() {
    let world = open().await;
    assert_eq!(told(client().get(world.url("/demo/faults")).send().await.unwrap()).await.0, 404);
    let demo = World::start_with(|options| options.open_webhooks_on_loopback = true, faults()).await;
    let list = client().get(demo.url("/demo/faults")).send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(list[0]["name"], "order-hang");
    assert_eq!(send(&demo, "/demo/faults", &[], r#"{"fault": "order-hang"}"#).await.1["says"], "order-hang is made.");
    assert_eq!(send(&demo, "/demo/faults", &[], r#"{"fault": "earthquake"}"#).await.0, 400);
    assert_eq!(
        send(&demo, "/demo/faults", &[("sec-fetch-site", "cross-site")], r#"{"fault": "order-hang"}"#).await.0,
        403
    );
    let text =
        client().post(demo.url("/demo/faults")).header("content-type", "text/plain").body(r#"{"fault": "order-hang"}"#);
    assert_eq!(told(text.send().await.unwrap()).await.0, 415, "what a foreign page could send without asking");
}

#[tokio::test]
async fn webhooks_without_a_secret_are_for_loopback_only() {
    let world = World::start(|_| {}).await;
    assert_eq!(send(&world, "/webhook/alert", &[], BODY).await.0, 401, "no integration, no door");
    let options = mayday::http::Options {
        listen: ([0, 0, 0, 0], 0).into(),
        open_webhooks_on_loopback: true,
        ..mayday::http::Options::default()
    };
    let error = World::refused(options).await;
    assert!(error.contains("only for loopback"), "{error}");
    let empty = mayday::http::Options {
        listen: ([127, 0, 0, 1], 0).into(),
        integrations: vec![integration("prod", None, Auth::Bearer { token: value("") })],
        ..mayday::http::Options::default()
    };
    assert!(World::refused(empty).await.contains("the secret is empty"));
    let example = mayday::http::Options {
        listen: ([127, 0, 0, 1], 0).into(),
        integrations: vec![integration("prod", None, Auth::Bearer { token: value("change-me") })],
        ..mayday::http::Options::default()
    };
    assert!(World::refused(example).await.contains("the example's secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_throttle_of_passwords_sees_the_address_that_really_connected() {
    let world = World::start(|_| {}).await;
    for address in [[127, 0, 0, 2], [127, 0, 0, 3]] {
        let client =
            reqwest::Client::builder().no_proxy().local_address(std::net::IpAddr::from(address)).build().unwrap();
        let wrong = client
            .post(world.url("/sign-in"))
            .header("content-type", "application/x-www-form-urlencoded")
            // What a client says about itself does not count.
            .header("x-forwarded-for", "10.1.1.1")
            .body("name=ana&password=wrong");
        assert_eq!(wrong.send().await.unwrap().status(), 401);
    }
    let seen = world.gate.from.lock().unwrap().clone();
    assert_eq!(seen, [[127, 0, 0, 2], [127, 0, 0, 3]].map(std::net::IpAddr::from));
}
