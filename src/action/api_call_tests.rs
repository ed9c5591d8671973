//! API_Call against real servers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Redirect;
use axum::routing::{get, post, put};

use super::*;
use crate::action::Options;
use crate::action::gate::Gate;
use crate::action::testing::{carry_out, catalog, context, intent, serve, service};

fn call(base: &str) -> ApiCall {
    with_hosts(base, &[])
}

fn with_hosts(base: &str, hosts: &[String]) -> ApiCall {
    let options = Options { default_api: Some(base.into()), api_hosts: hosts.to_vec(), ..Options::default() };
    let gate = Gate::new(&options, &Catalog::default(), None).unwrap();
    let fetcher = Fetcher::new(gate, Duration::from_millis(500), 10_000).unwrap();
    ApiCall::new(fetcher, catalog(vec![]), options.default_api)
}

#[tokio::test]
async fn a_get_gives_the_answers_fields_and_says_how_it_went() {
    let base = serve(Router::new().route(
        "/api/v1/health/{name}",
        get(async |uri: Uri| axum::Json(json!({"is_healthy": true, "version": "7f3c", "query": uri.query()}))),
    ))
    .await;
    let parameters = json!({"action": "GET /api/v1/health/payment-gateway", "parameters": {"type": "downstream", "deep": true, "ids": [1, 2]}});
    let output = carry_out(&call(&base), parameters).await.unwrap();
    assert_eq!(output["is_healthy"], true);
    assert_eq!(output["version"], "7f3c");
    assert_eq!(output["query"], "deep=true&ids=1&ids=2&type=downstream");
    assert_eq!(output["http_status"], 200);
    assert!(output["duration_ms"].as_f64().unwrap() >= 0.0);
}

#[tokio::test]
async fn a_service_of_the_catalogue_is_called_at_its_base_and_health_path() {
    let base = serve(Router::new().route("/base/healthz", get(async || "fine"))).await;
    let entry = service("order-service", |service| {
        service.base_url = Some(format!("{base}/base"));
        service.health_path = Some("/healthz".into());
    });
    let catalog = catalog(vec![entry]);
    let gate = Gate::new(&Options::default(), &catalog, None).unwrap();
    let action = ApiCall::new(Fetcher::new(gate, Duration::from_secs(1), 100).unwrap(), catalog, None);
    for line in ["GET order-service:health", "GET order-service:/healthz"] {
        let output = carry_out(&action, json!({"action": line})).await.unwrap();
        assert_eq!((&output["body"], &output["is_healthy"]), (&json!("fine"), &json!(true)));
    }
    let by_name = json!({"action": "GET /healthz", "service": "order-service", "parameters": {}});
    assert!(carry_out(&action, by_name).await.is_ok());
    let unknown = carry_out(&action, json!({"action": "GET nobody:/x"})).await.unwrap_err();
    assert!(unknown.to_string().contains("no service `nobody`"), "{unknown}");
    let no_default = carry_out(&action, json!({"action": "GET /x"})).await.unwrap_err();
    assert!(no_default.to_string().contains("actions.default_api"), "{no_default}");
}

#[tokio::test]
async fn a_path_never_leaves_its_base() {
    let action = call("http://127.0.0.1:9/base");
    for path in [
        "//evil.org/x",
        "/../admin",
        "/a/%2e%2e/%2E./admin",
        "/a%2f..%2fadmin",
        "/x\\..\\y",
        "/x y",
        "/x\ny",
        "http://evil.org/",
        "/x#y",
        "@evil.org",
        "",
    ] {
        let planned = action.plan(&context(), &json!({"action": format!("GET {path}")})).await;
        assert!(matches!(planned, Err(Error::Permanent(_))), "{path}: {planned:?}");
    }
    let planned = action.plan(&context(), &json!({"action": "TRACE /x"})).await;
    assert!(matches!(planned, Err(Error::Permanent(_))));
}

#[tokio::test]
async fn a_stored_target_meets_the_gate_again() {
    let action = call("http://127.0.0.1:9");
    let target = json!({"method": "GET", "url": "http://169.254.169.254/latest/meta-data"});
    let refused = action.perform(&context(), &intent(target)).await.unwrap_err();
    assert!(matches!(&refused, Error::Permanent(why) if why.contains("not on the list")), "{refused}");
}

#[tokio::test]
async fn redirects_stay_on_the_list_and_a_post_follows_none() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counter = hits.clone();
    let elsewhere = serve(Router::new().fallback(async move || {
        counter.fetch_add(1, Ordering::SeqCst);
        "stolen"
    }))
    .await;
    let to = elsewhere.clone();
    let post_to = elsewhere.clone();
    let base = serve(
        Router::new()
            .route("/away", get(async move || Redirect::temporary(&format!("{to}/x"))))
            .route("/away", post(async move || Redirect::temporary(&format!("{post_to}/x"))))
            .route("/near", get(async || Redirect::temporary("/here")))
            .route("/here", get(async || "here"))
            .route("/loop", get(async || Redirect::temporary("/loop"))),
    )
    .await;
    let action = call(&base);
    assert_eq!(carry_out(&action, json!({"action": "GET /near"})).await.unwrap()["body"], "here");
    let away = carry_out(&action, json!({"action": "GET /away"})).await.unwrap_err();
    assert!(matches!(&away, Error::Permanent(why) if why.contains("not on the list")), "{away}");
    assert!(carry_out(&action, json!({"action": "GET /loop"})).await.is_err());
    let posted = carry_out(&action, json!({"action": "POST /away"})).await.unwrap_err();
    assert!(matches!(posted, Error::InDoubt(_)), "a redirect may come after the work: {posted}");
    assert_eq!(hits.load(Ordering::SeqCst), 0);

    let listed = elsewhere.strip_prefix("http://").unwrap().to_owned();
    let action = with_hosts(&base, &[listed]);
    assert_eq!(carry_out(&action, json!({"action": "GET /away"})).await.unwrap()["body"], "stolen");
}

#[tokio::test]
async fn a_listed_name_that_resolves_to_this_machine_or_to_metadata_is_refused() {
    let hits = Arc::new(AtomicUsize::new(0));
    let counter = hits.clone();
    let local = serve(Router::new().fallback(async move || {
        counter.fetch_add(1, Ordering::SeqCst);
        "inside"
    }))
    .await;
    let port = local.rsplit(':').next().unwrap();
    for address in ["127.0.0.1", "169.254.169.254", "::1"] {
        let base = format!("http://api.example.com:{port}");
        let options = Options { default_api: Some(base.clone()), ..Options::default() };
        let gate = Gate::new(&options, &Catalog::default(), None).unwrap().with_lookup(Arc::new(move |_| {
            Box::pin(async move { Ok(vec!["10.255.255.1".parse().unwrap(), address.parse().unwrap()]) })
        }));
        let action =
            ApiCall::new(Fetcher::new(gate, Duration::from_secs(1), 100).unwrap(), catalog(vec![]), Some(base));
        let refused = carry_out(&action, json!({"action": "GET /"})).await.unwrap_err();
        assert!(matches!(&refused, Error::Permanent(why) if why.contains("resolves to")), "{address}: {refused:?}");
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_post_tells_its_key_and_is_left_to_a_person_when_in_doubt() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let base = serve(
        Router::new()
            .route(
                "/scale",
                post(async move |headers: HeaderMap, axum::Json(body): axum::Json<Value>| {
                    log.lock().unwrap().push((headers["idempotency-key"].to_str().unwrap().to_owned(), body));
                    StatusCode::CREATED
                }),
            )
            .route("/broken", post(async || (StatusCode::INTERNAL_SERVER_ERROR, "password=hunter2")))
            .route("/busy", post(async || StatusCode::SERVICE_UNAVAILABLE))
            .route("/busy", put(async || StatusCode::SERVICE_UNAVAILABLE))
            .route("/slower", post(async || StatusCode::TOO_MANY_REQUESTS))
            .route("/wrong", post(async || StatusCode::UNPROCESSABLE_ENTITY)),
    )
    .await;
    let action = call(&base);
    let parameters = json!({"action": "POST /scale", "parameters": {"replicas": 3, "token": "abc"}});
    let planned = action.plan(&context(), &parameters).await.unwrap();
    assert!(!format!("{:?} {:?}", planned.changes, planned.details).contains("abc"), "plans are shown to people");
    assert_eq!(action.settle(&planned.target), Settle::AskPerson);
    action.perform(&context(), &intent(planned.target)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [("RUN-3/step".to_owned(), json!({"replicas": 3, "token": "abc"}))]);

    let queried = json!({"action": "POST /scale?mode=force&password=hunter2", "parameters": {"replicas": 3}});
    let planned = action.plan(&context(), &queried).await.unwrap();
    assert_eq!(planned.changes[1].after, "mode=force&password=[redacted]", "what is sent is approved");

    let doubt = carry_out(&action, json!({"action": "POST /broken"})).await.unwrap_err();
    assert!(matches!(&doubt, Error::InDoubt(why) if !why.contains("hunter2")), "{doubt}");
    assert!(matches!(carry_out(&action, json!({"action": "POST /busy"})).await, Err(Error::InDoubt(_))));
    assert!(matches!(carry_out(&action, json!({"action": "PUT /busy"})).await, Err(Error::Transient(_))));
    assert!(matches!(carry_out(&action, json!({"action": "POST /slower"})).await, Err(Error::Transient(_))));
    assert!(matches!(carry_out(&action, json!({"action": "POST /wrong"})).await, Err(Error::Permanent(_))));
}

#[tokio::test]
async fn a_patch_is_undone_by_setting_its_fields_back_to_what_they_were() {
    let pool = Arc::new(Mutex::new(json!({"size": 8, "owner": "ana", "in_use": 3, "token": "abc"})));
    let (read, write) = (pool.clone(), pool.clone());
    let patched = async move |axum::Json(body): axum::Json<Value>| {
        for (name, value) in body.as_object().unwrap() {
            write.lock().unwrap()[name] = value.clone();
        }
        StatusCode::NO_CONTENT
    };
    let shown = async move || axum::Json(read.lock().unwrap().clone());
    let blind = axum::routing::patch(async || StatusCode::NO_CONTENT);
    let base = serve(Router::new().route("/pool", get(shown).patch(patched)).route("/blind", blind)).await;
    let action = call(&base);
    let parameters = json!({"action": "PATCH /pool", "parameters": {"size": 16}});
    let planned = action.plan(&context(), &parameters).await.unwrap();
    let size = planned.changes.iter().find(|change| change.field == "size").unwrap();
    assert_eq!((size.before.as_str(), size.after.as_str()), ("8", "16"));
    assert!(planned.undo.is_some());
    action.perform(&context(), &intent(planned.target.clone())).await.unwrap();
    pool.lock().unwrap()["in_use"] = json!(9);
    let undo = action.inverse(&planned.target, &Value::Null).unwrap();
    carry_out(&action, undo.clone()).await.unwrap();
    assert_eq!(*pool.lock().unwrap(), json!({"size": 8, "owner": "ana", "in_use": 9, "token": "abc"}));

    // What is set back already is, and what somebody else has set since is theirs.
    carry_out(&action, undo.clone()).await.unwrap();
    pool.lock().unwrap()["size"] = json!(32);
    let refused = carry_out(&action, undo).await.unwrap_err();
    assert!(matches!(&refused, Error::Permanent(why) if why.contains("`size` is 32 now")), "{refused}");
    assert_eq!(pool.lock().unwrap()["size"], 32);

    // What can't be read, does not show each field, or is a secret, can't be set back.
    for parameters in [
        json!({"action": "PATCH /blind", "parameters": {"size": 16}}),
        json!({"action": "PATCH /pool", "parameters": {"size": 16, "unknown": 1}}),
        json!({"action": "PATCH /pool", "parameters": {"size": 16, "token": "xyz"}}),
        json!({"action": "PATCH /pool", "parameters": {"size": {"most": 16}}}),
        json!({"action": "POST /pool", "parameters": {"size": 16}}),
    ] {
        let planned = action.plan(&context(), &parameters).await.unwrap();
        assert!(!format!("{:?} {}", planned.changes, planned.target).contains("abc"), "no secret is kept or shown");
        assert_eq!((planned.undo, action.inverse(&planned.target, &Value::Null)), (None, None), "{parameters}");
    }
}

#[tokio::test]
async fn time_and_size_are_bounded() {
    let slow = async || {
        tokio::time::sleep(Duration::from_secs(5)).await;
        "late"
    };
    let base = serve(
        Router::new()
            .route("/slow", get(slow).post(slow))
            .route("/big", get(async || "x".repeat(20_000)))
            .route("/gone", get(async || StatusCode::NOT_FOUND)),
    )
    .await;
    let action = call(&base);
    assert!(matches!(carry_out(&action, json!({"action": "GET /slow"})).await, Err(Error::Transient(_))));
    assert!(matches!(carry_out(&action, json!({"action": "POST /slow"})).await, Err(Error::InDoubt(_))));
    assert!(
        carry_out(&action, json!({"action": "GET /big"})).await.unwrap_err().to_string().contains("larger than 10000")
    );
    assert!(matches!(carry_out(&action, json!({"action": "GET /gone"})).await, Err(Error::Permanent(_))));
    assert_eq!(action.settle(&json!({"method": "GET", "url": "http://x/"})), Settle::Repeat);

    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let action = call(&format!("http://{closed}"));
    let unreached = carry_out(&action, json!({"action": "POST /x"})).await.unwrap_err();
    assert!(matches!(unreached, Error::Transient(_)), "a refused connection sent nothing: {unreached:?}");
}

#[test]
fn an_answers_own_word_on_its_health_counts() {
    assert!(is_healthy(200, &json!({"status": "UP"})));
    assert!(!is_healthy(200, &json!({"status": "DOWN"})));
    assert!(!is_healthy(200, &json!({"is_healthy": false, "status": "UP"})));
    assert!(is_healthy(204, &json!("")));
    assert!(!is_healthy(503, &json!({"status": "UP"})));
}

proptest::proptest! {
    #[test]
    fn whatever_a_path_is_made_of_it_is_refused_or_stays_below_its_base(
        path in "([/.%?@:a-z]|%2e|%2F|%5c|\\.\\./|//|\\\\|\u{2024}){0,12}",
    ) {
        if let Ok(url) = join("http://shop.example:81/base", &path) {
            proptest::prop_assert_eq!((url.host_str(), url.port()), (Some("shop.example"), Some(81)));
            proptest::prop_assert!(url.path().starts_with("/base/"), "{}", url);
            proptest::prop_assert!(!url.path().split('/').any(|part| part == ".."), "{}", url);
        }
    }
}
