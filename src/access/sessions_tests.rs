//! What signing in promises.

use super::*;
use crate::access::Role;
use crate::access::persons::User;
use crate::core::clock::ManualClock;
use crate::core::duration::Span;
use crate::store::memory::Memory;

struct Desk {
    sessions: Sessions,
    clock: ManualClock,
    store: SharedStore,
}

fn desk() -> Desk {
    let clock = ManualClock::at("2026-11-21T02:00:00Z".parse().unwrap());
    let user = User {
        id: "ana".into(),
        name: Some("Ana".into()),
        role: Role::Approver,
        teams: vec![],
        password_hash: Some(crate::access::passwords::hash(&"correct horse".into()).unwrap()),
    };
    let options = Options {
        users: vec![user],
        session_idle: Span::from_secs(3600),
        session_absolute: Span::from_secs(6 * 3600),
        link_valid: Span::from_secs(600),
        standing: vec![],
        ..Options::default()
    };
    let store = Memory::shared();
    let persons = Arc::new(Persons::new(&options).unwrap());
    let sessions = Sessions::new(store.clone(), Arc::new(clock.clone()), persons, options).unwrap();
    Desk { sessions, clock, store }
}

fn address() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

#[tokio::test]
async fn a_link_signs_in_once_and_the_second_use_is_refused() {
    let desk = desk();
    let token = desk.sessions.invite(&Persons::you().id).await.unwrap();
    let signed_in = desk.sessions.redeem(token.expose_secret()).await.unwrap();
    assert_eq!(signed_in.person.role, Role::Admin);
    let again = desk.sessions.redeem(token.expose_secret()).await.unwrap_err();
    assert!(again.to_string().contains("used already"), "{again}");
    assert!(desk.sessions.check(signed_in.secret.expose_secret()).await.unwrap().is_some());
}

#[tokio::test]
async fn of_two_browsers_with_one_link_exactly_one_gets_in() {
    let desk = desk();
    let token = desk.sessions.invite(&Persons::you().id).await.unwrap();
    let (one, two) =
        tokio::join!(desk.sessions.redeem(token.expose_secret()), desk.sessions.redeem(token.expose_secret()));
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
}

#[tokio::test]
async fn an_old_link_is_void() {
    let desk = desk();
    let token = desk.sessions.invite(&Persons::you().id).await.unwrap();
    desk.clock.advance(Duration::from_secs(600));
    assert!(desk.sessions.redeem(token.expose_secret()).await.is_err());
    assert!(desk.sessions.redeem("").await.is_err());
}

#[tokio::test]
async fn no_secret_stands_in_the_store() {
    let desk = desk();
    let token = desk.sessions.invite(&Persons::you().id).await.unwrap();
    let unused = desk.sessions.invite(&Persons::you().id).await.unwrap();
    let signed_in = desk.sessions.redeem(token.expose_secret()).await.unwrap();
    let everything = desk
        .store
        .scan(&Range {
            from: Key::stored(String::new()),
            to: Key::stored("~".into()),
            limit: 100,
            order: store::key::Order::Forward,
        })
        .await
        .unwrap();
    assert_eq!(everything.len(), 2);
    for entry in everything {
        let text = format!("{} {}", entry.key, String::from_utf8(entry.value).unwrap());
        for secret in [&token, &unused, &signed_in.secret] {
            assert!(!text.contains(secret.expose_secret()));
        }
    }
}

#[tokio::test]
async fn name_and_password_sign_in_and_wrong_ones_get_the_same_answer() {
    let desk = desk();
    let right = desk.sessions.sign_in("Ana", "correct horse".into(), address()).await.unwrap();
    assert_eq!(right.person.name, "Ana");
    let wrong = desk.sessions.sign_in("ana", "wrong horse".into(), address()).await.unwrap_err();
    let unknown = desk.sessions.sign_in("eve", "correct horse".into(), address()).await.unwrap_err();
    let local = desk.sessions.sign_in("you", "".into(), address()).await.unwrap_err();
    assert_eq!(wrong.to_string(), unknown.to_string());
    assert_eq!(wrong.to_string(), local.to_string());
}

#[tokio::test]
async fn after_five_wrong_passwords_even_the_right_one_waits() {
    let desk = desk();
    for _ in 0..5 {
        desk.sessions.sign_in("ana", "wrong horse".into(), address()).await.unwrap_err();
    }
    let refused = desk.sessions.sign_in("ana", "correct horse".into(), address()).await.unwrap_err();
    assert!(refused.to_string().contains("15 min"), "{refused}");
    assert!(desk.sessions.sign_in("ana", "correct horse".into(), IpAddr::from([10, 0, 0, 9])).await.is_ok());
    desk.clock.advance(Duration::from_secs(15 * 60));
    assert!(desk.sessions.sign_in("ana", "correct horse".into(), address()).await.is_ok());
}

#[tokio::test]
async fn a_session_ends_when_idle_when_old_and_when_signed_out() {
    let desk = desk();
    let open = async || desk.sessions.sign_in("ana", "correct horse".into(), address()).await.unwrap().secret;
    let check = async |secret: &SecretString| desk.sessions.check(secret.expose_secret()).await.unwrap().is_some();

    let idle = open().await;
    desk.clock.advance(Duration::from_secs(3599));
    assert!(check(&idle).await, "use keeps it");
    desk.clock.advance(Duration::from_secs(3599));
    assert!(check(&idle).await, "use keeps it");
    desk.clock.advance(Duration::from_secs(3600));
    assert!(!check(&idle).await);

    let old = open().await;
    for _ in 0..11 {
        desk.clock.advance(Duration::from_secs(1800));
        assert!(check(&old).await);
    }
    desk.clock.advance(Duration::from_secs(1800));
    assert!(!check(&old).await, "six hours are over, used or not");

    let left = open().await;
    desk.sessions.sign_out(left.expose_secret()).await.unwrap();
    assert!(!check(&left).await);
    assert!(!check(&"made-up".into()).await);
}

#[tokio::test]
async fn a_csrf_token_belongs_to_its_session() {
    let desk = desk();
    let one = desk.sessions.sign_in("ana", "correct horse".into(), address()).await.unwrap().secret;
    let two = desk.sessions.sign_in("ana", "correct horse".into(), address()).await.unwrap().secret;
    let one = desk.sessions.check(one.expose_secret()).await.unwrap().unwrap();
    let two = desk.sessions.check(two.expose_secret()).await.unwrap().unwrap();
    assert!(one.csrf_is(&one.csrf));
    assert!(!one.csrf_is(&two.csrf));
    assert!(!one.csrf_is(""));
}

#[tokio::test]
async fn sessions_are_bounded_and_the_longest_unused_goes_first() {
    let desk = desk();
    let first =
        desk.sessions.redeem(desk.sessions.invite(&Persons::you().id).await.unwrap().expose_secret()).await.unwrap();
    for _ in 0..MOST {
        desk.clock.advance(Duration::from_millis(1));
        let token = desk.sessions.invite(&Persons::you().id).await.unwrap();
        desk.sessions.redeem(token.expose_secret()).await.unwrap();
    }
    let kept = desk.store.scan(&Range::under(&Key::of(["session"]), MOST * 2)).await.unwrap();
    assert_eq!(kept.len(), MOST);
    assert!(desk.sessions.check(first.secret.expose_secret()).await.unwrap().is_none());
}
