//! The page in a real Chromium.

use serde_json::json;

use crate::browser_driver::{Browser, DOWN, ENTER, ESCAPE, TAB, UP};
use crate::web_world::{World, faults, full_card, healed_card, post, post_in};
use mayday::chat::card::{Button, ButtonStyle, EvidenceRef, Fact, Line, PlanBox, Section, Step};
use mayday::chat::{Card, Chart, Chat as _, Content};

#[tokio::test(flavor = "multi_thread")]
async fn a_card_appears_without_reloading_and_is_edited_in_place_with_focus_kept() {
    let world = World::start_with(|_| {}, faults()).await;
    let browser = Browser::start().await;
    browser.sign_in(&world).await;
    browser.picture("empty").await;
    world.chat.open_channel("orders").await.unwrap();
    world.chat.open_channel("payments").await.unwrap();
    browser.open(&world.url("/channels/orders")).await;
    browser.until("document.body.dataset.channel === 'orders'").await;
    browser.eval("window.sameDocument = true").await;

    world.show("INC-7", 1, full_card()).await;
    browser.until("document.querySelector('#messages .card h2')?.textContent.includes('answer nothing')").await;
    browser.until("document.querySelector('nav [aria-current] .count b').textContent === '1'").await;
    browser.until("document.title.startsWith('(1) #orders')").await;
    browser.until("/4 min ago/.test(document.querySelector('.card time').textContent)").await;
    browser.picture("card").await;

    // Half-written reason and focus survive an edit of the card around them.
    browser.click("[data-ask]").await;
    browser.keys(&["not now"]).await;
    let mut edited = full_card();
    edited.notes = vec!["13 alerts folded in".into()];
    edited.facts.remove(0);
    edited.plan.as_mut().unwrap().buttons.remove(0);
    world.show("INC-7", 2, edited).await;
    browser.until("document.querySelector('.card .note').textContent.startsWith('13')").await;
    assert_eq!(browser.eval("document.activeElement.value").await, json!("not now"));
    assert_eq!(browser.eval("document.querySelectorAll('#messages .block').length").await, json!(1));

    world.show("INC-7", 3, healed_card()).await;
    browser.until("document.querySelector('.card.over')").await;
    browser.until("document.querySelector('nav [aria-current] .count').hidden").await;
    browser.picture("healed").await;
    assert_eq!(browser.eval("window.sameDocument").await, json!(true), "the page was not loaded again");

    // The incident's own page moves with its card as well.
    browser.open(&world.url("/incidents/INC-7")).await;
    browser.until("document.querySelector('#incident .card.over')").await;
    world.show("INC-7", 4, Card { state: "reopened".into(), ..full_card() }).await;
    browser.until("document.querySelector('#incident .state').textContent.startsWith('reopened')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_says_its_command_once_and_the_answer_stands_below_the_card() {
    let world = World::start(|_| {}).await;
    world.show("INC-7", 1, full_card()).await;
    let browser = Browser::start().await;
    browser.sign_in(&world).await;
    browser.click("[data-say='ack INC-7']").await;
    browser.until("document.querySelector('.card .state').textContent.startsWith('acknowledged')").await;
    browser.until("document.querySelectorAll('.thread .reply').length === 2").await;
    browser.until("!document.querySelector('.card > .row .said').hidden").await;
    {
        let said = world.said.lock().unwrap();
        assert_eq!(said.len(), 1);
        assert_eq!((said[0].text.as_str(), said[0].thread.as_deref()), ("ack INC-7", Some("INC-7")));
        assert_eq!(said[0].person.id.0, "web:ana");
    }

    // One that asks for a reason sends it with the command.
    browser.click("[data-ask]").await;
    browser.keys(&["too risky now", ENTER]).await;
    browser.until("document.querySelector('.ask').hidden").await;
    browser.until("document.querySelectorAll('.thread .reply').length === 4").await;
    assert_eq!(world.said.lock().unwrap()[1].text, "reject RUN-3 too risky now");
    browser.picture("thread").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_box_completes_and_remembers_by_keyboard_alone() {
    let world = World::start_with(|_| {}, faults()).await;
    world.show("INC-7", 1, full_card()).await;
    let browser = Browser::start().await;
    browser.sign_in(&world).await;
    browser.keys(&["/"]).await;
    browser.until("document.activeElement.id === 'line'").await;
    browser.keys(&["a"]).await;
    browser.until("document.querySelectorAll('#completions li').length === 2").await;
    browser.keys(&[DOWN, DOWN]).await;
    browser
        .until("document.querySelector('#completions [aria-selected=true]').textContent.startsWith('approve')")
        .await;
    browser.picture("completion").await;
    browser.keys(&[UP, ENTER]).await;
    browser.until("document.getElementById('line').value === 'ack INC-7 '").await;
    browser.keys(&[ENTER]).await;
    browser.until("document.querySelector('.card .state').textContent.startsWith('acknowledged')").await;
    browser.until("document.getElementById('line').value === ''").await;
    browser.keys(&[UP]).await;
    browser.until("document.getElementById('line').value === 'ack INC-7'").await;
    browser.keys(&[ESCAPE]).await;

    // A refusal is for the one who typed it; the line stays to be corrected.
    browser.eval("document.getElementById('line').value = ''").await;
    browser.eval("document.getElementById('line').focus()").await;
    browser.keys(&["akc INC-7", ENTER]).await;
    browser.until("document.getElementById('answer').textContent.includes('Did you mean')").await;
    assert_eq!(browser.eval("document.getElementById('line').value").await, json!("akc INC-7"));
    browser.picture("refused").await;
    browser.keys(&[ESCAPE, ESCAPE]).await;

    // Keys: to the first message, and with Tab to its first button.
    browser.keys(&["?"]).await;
    browser.until("document.getElementById('help').open").await;
    browser.picture("help").await;
    browser.keys(&[ESCAPE]).await;
    browser.until("!document.getElementById('help').open").await;
    browser.keys(&["j"]).await;
    browser.until("document.activeElement.id === 'm-1'").await;
    for _ in 0..30 {
        browser.keys(&[TAB]).await;
        if browser.eval("document.activeElement.dataset.say === 'why INC-7'").await == json!(true) {
            break;
        }
    }
    browser.keys(&[ENTER]).await;
    browser
        .until(
            "[...document.querySelectorAll('.reply')].some((reply) => reply.textContent.includes('why: as you said'))",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_nothing_scrolls_sideways_and_dark_is_dark() {
    let world = World::start_with(|_| {}, faults()).await;
    for channel in ["payments", "platform"] {
        world.chat.open_channel(channel).await.unwrap();
    }
    world
        .show(
            "INC-3",
            1,
            Card {
                id: "INC-3".into(),
                title: "inventory-service: disk folder 97 % full".into(),
                notes: vec!["MTTR 58 s".into()],
                ..healed_card()
            },
        )
        .await;
    world.show("INC-7", 1, full_card()).await;
    world.chat.say("orders", Some("INC-7"), "Ana", Content::Text("logs order-service 10m pool".into())).await.unwrap();
    world
        .chat
        .say("orders", Some("INC-7"), "Mayday", Content::Text(format!("a-very-long-word-{}", "x".repeat(200))))
        .await
        .unwrap();
    world
        .chat
        .say(
            "orders",
            Some("INC-7"),
            "Mayday",
            Content::Text(
                "RUN-3  proposed  restart order-service  4 min\nRUN-2  fixed     clean inventory disk  3 h".into(),
            ),
        )
        .await
        .unwrap();
    let browser = Browser::start().await;
    browser.sign_in(&world).await;
    for (scheme, dark) in [("light", false), ("dark", true)] {
        browser.scheme(scheme).await;
        for (width, height) in [(1280, 1100), (390, 844)] {
            browser.size(width, height).await;
            for path in
                ["/channels/orders", "/incidents", "/incidents/INC-7", "/incidents/INC-7/evidence/E1", "/sign-in"]
            {
                browser.open(&world.url(path)).await;
                let overflow = browser
                    .eval("Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)")
                    .await;
                assert_eq!(overflow, json!(0), "{path} at {width} px");
                let background =
                    browser.eval("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]").await;
                assert_eq!(background.as_f64().unwrap() < 60.0, dark, "{scheme}");
                let name = path.trim_start_matches('/').replace('/', "-");
                browser.picture(&format!("{scheme}-{width}-{name}")).await;
                if path == "/channels/orders" {
                    browser
                        .eval("window.scrollTo(0, document.querySelector('[data-slot=\"INC-7\"]').offsetTop - 60)")
                        .await;
                    browser.picture(&format!("{scheme}-{width}-{name}-top")).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_from_outside_stays_text_in_every_field() {
    let world = World::start(|_| {}).await;
    let bad = || "\"'><img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>".to_owned();
    let link = || vec![EvidenceRef { id: bad(), path: "javascript:window.hacked=1".into() }];
    let button = |ask| Button { label: bad(), command: bad(), style: ButtonStyle::Plain, ask };
    let now = mayday::core::Timestamp::now();
    let card = Card {
        id: bad(),
        state: bad(),
        since: Some(now),
        notes: vec![bad()],
        title: bad(),
        subtitle: Some(bad()),
        facts: vec![Fact { name: bad(), value: bad(), normal: Some(bad()), evidence: link() }],
        chart: Some(Chart {
            caption: bad(),
            unit: bad(),
            points: vec![(now, 1.0), (now, 2.0)],
            threshold: Some((bad(), 1.5)),
            mark: Some((bad(), now)),
        }),
        sections: vec![Section {
            heading: Some(bad()),
            lines: vec![Line { lead: Some(bad()), text: bad(), quiet: false, evidence: link() }],
        }],
        plan: Some(PlanBox {
            heading: bad(),
            diff: vec![bad()],
            notes: vec![bad()],
            footer: Some(bad()),
            steps: vec![Step { name: bad(), state: bad(), note: Some(bad()) }],
            buttons: vec![button(None), button(Some(bad()))],
        }),
        buttons: vec![button(None)],
        ..Card::default()
    };
    world.show(&bad(), 1, card.clone()).await;
    let browser = Browser::start().await;
    browser.sign_in(&world).await;
    // Once drawn by the server with the page, once through the live feed.
    world.show(&bad(), 2, card).await;
    world.chat.say("orders", Some(&bad()), &bad(), Content::Text(bad())).await.unwrap();
    browser.until("document.querySelector('.reply')").await;
    for path in
        ["/incidents/INC-7", "/incidents/INC-7/evidence/E1", "/incidents/%3Cscript%3Ewindow.hacked=1%3C%2Fscript%3E"]
    {
        assert_eq!(browser.eval("[typeof window.hacked, document.querySelectorAll('main img, main script, main a[href^=javascript]').length]").await, json!(["undefined", 0]));
        browser.open(&world.url(path)).await;
    }
    assert_eq!(browser.eval("typeof window.hacked").await, json!("undefined"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_said_and_what_was_missed_is_shown_afterwards() {
    let mut world = World::start(|_| {}).await;
    world.show("INC-7", 1, full_card()).await;
    let browser = Browser::start().await;
    browser.sign_in(&world).await;
    browser.until("document.querySelector('.card')").await;
    browser.eval("window.sameDocument = true").await;
    let chat = world.chat.clone();
    world
        .restart(async || {
            browser.until("document.getElementById('connection').textContent.startsWith('Connection lost')").await;
            browser.picture("lost").await;
            chat.show(&post("INC-7", 2, Content::Card(Box::new(healed_card())))).await.unwrap();
            chat.say("orders", Some("INC-7"), "Mayday", Content::Text("said meanwhile".into())).await.unwrap();
        })
        .await;
    browser.until("document.getElementById('connection').hidden").await;
    browser.until("document.querySelector('.card.over')").await;
    browser.until("document.querySelector('.reply').textContent.includes('said meanwhile')").await;
    assert_eq!(browser.eval("window.sameDocument").await, json!(true), "the page was not loaded again");

    world.gate.forget_all();
    world.restart(async || {}).await;
    browser.until("document.getElementById('connection').textContent.startsWith('You are signed out')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_on_a_fresh_page_sees_the_first_card_come() {
    let world = World::start_with(|_| {}, faults()).await;
    let browser = Browser::start().await;
    browser.sign_in(&world).await;
    browser.open(&world.url("/")).await;
    browser.until("document.querySelector('nav [aria-current]').dataset.channelLink === 'incidents'").await;
    browser.picture("fresh").await;
    browser.eval("window.sameDocument = true").await;
    world.chat.show(&post_in("incidents", "INC-7", 1, Content::Card(Box::new(full_card())))).await.unwrap();
    browser.until("document.querySelector('#messages .card h2')?.textContent.includes('answer nothing')").await;
    assert_eq!(browser.eval("document.getElementById('empty').hidden && window.sameDocument").await, json!(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_channel_joins_the_list_while_one_looks() {
    let world = World::start(|_| {}).await;
    let browser = Browser::start().await;
    browser.sign_in(&world).await;
    let list =
        "[...document.querySelectorAll('nav [data-channel-link]')].map((link) => link.dataset.channelLink).join()";
    browser.until(&format!("{list} === 'incidents'")).await;
    for channel in ["orders", "a \"quoted\" <b>"] {
        world.chat.show(&post_in(channel, "INC-7", 1, Content::Card(Box::new(full_card())))).await.unwrap();
    }
    browser.until(&format!("{list} === 'a \"quoted\" <b>,incidents,orders'")).await;
    let link = "document.querySelector('[data-channel-link=orders]')";
    browser.until(&format!("{link}.querySelector('.count').innerText.startsWith('1')")).await;
    assert_eq!(browser.eval(&format!("{link}.querySelector('.unread').textContent")).await, json!("1"));
    browser.click("[data-channel-link=orders]").await;
    browser
        .until("document.querySelector('[data-channel-link=orders][aria-current]') && document.querySelector('.card')")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_plan_is_approved_by_keyboard_the_focus_stands_on_the_plan() {
    let world = World::start(|_| {}).await;
    world.show("INC-7", 1, full_card()).await;
    let browser = Browser::start().await;
    browser.sign_in(&world).await;
    browser.until("document.querySelector('.plan .go')").await;
    browser.eval("document.querySelector('.plan .go').focus()").await;
    browser.keys(&[ENTER]).await;
    browser.until("!document.querySelector('.plan .said').hidden").await;
    world.show("INC-7", 2, healed_card()).await;
    browser.until("document.querySelector('.card.over')").await;
    assert_eq!(browser.eval("document.activeElement.className").await, json!("plan"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_without_a_reason_is_not_sent() {
    let world = World::start(|_| {}).await;
    world.show("INC-7", 1, full_card()).await;
    let browser = Browser::start().await;
    browser.sign_in(&world).await;
    browser.click("[data-ask]").await;
    browser.keys(&[ENTER, "  ", ENTER]).await;
    browser.until("document.querySelector('.ask input:invalid')").await;
    browser.keys(&["not now", ENTER]).await;
    browser.until("document.querySelector('.ask').hidden").await;
    let said: Vec<_> = world.said.lock().unwrap().iter().map(|said| said.text.clone()).collect();
    assert_eq!(said, ["reject RUN-3 not now"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_the_panel_leaves_the_card_in_sight_and_nothing_is_cut() {
    let world = World::start_with(|_| {}, faults()).await;
    let mut card = full_card();
    card.facts[0].name = "requests per second of inventory-service".into();
    card.facts[0].normal = Some("normal is 0/s".into());
    world.show("INC-7", 1, card).await;
    let browser = Browser::start().await;
    browser.sign_in(&world).await;
    browser.until("document.getElementById('faults').open").await;
    // The window is made narrow while the page is open: the panel closes then, too.
    browser.size(390, 844).await;
    browser.until("!document.getElementById('faults').open").await;
    browser.picture("phone").await;
    let column = "document.querySelector('.facts dd').getBoundingClientRect().width";
    assert!(browser.eval(column).await.as_f64().unwrap() > 150.0);
    let edge = "document.querySelector('[data-sign-out]').getBoundingClientRect().right";
    assert!(browser.eval(edge).await.as_f64().unwrap() <= 390.0);
    let hint = "(() => { const line = document.getElementById('line'); const pen = document.createElement('canvas').getContext('2d'); \
                pen.font = getComputedStyle(line).font; return line.clientWidth - 24 - pen.measureText(line.placeholder).width })()";
    assert!(browser.eval(hint).await.as_f64().unwrap() >= 0.0);
    browser.click("#faults summary").await;
    browser.picture("phone-panel").await;
    browser.click("[data-fault]").await;
    browser.until("!document.getElementById('faults').open").await;
    browser.until("document.getElementById('moved').textContent === 'order-hang is made.'").await;
}
