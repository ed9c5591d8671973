//! Signing in on the real store: sessions outlive a restart, sign-in links don't sign in twice.

use std::path::Path;
use std::sync::Arc;

use mayday::access::{Options, Persons, Sessions};
use mayday::core::clock::SystemClock;
use mayday::store;
use secrecy::ExposeSecret as _;

async fn sessions(data: &Path) -> Sessions {
    let persons = Arc::new(Persons::new(&Options::default()).unwrap());
    for _ in 0..100 {
        // A store that was just closed gives its lock back a moment later.
        if let Ok(store) = store::open(data, &store::Options::default()) {
            return Sessions::new(store, SystemClock::shared(), persons, Options::default()).unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the store stays locked");
}

#[tokio::test]
async fn a_session_outlives_a_restart_and_a_used_link_stays_used() {
    let data = tempfile::tempdir().unwrap();
    let before = sessions(data.path()).await;
    let link = before.invite(&Persons::you().id).await.unwrap();
    let signed_in = before.redeem(link.expose_secret()).await.unwrap();
    let csrf = before.check(signed_in.secret.expose_secret()).await.unwrap().unwrap().csrf;
    drop(before);

    let after = sessions(data.path()).await;
    let session = after.check(signed_in.secret.expose_secret()).await.unwrap().unwrap();
    assert_eq!(session.person.id, Persons::you().id);
    assert!(session.csrf_is(&csrf), "forms that were open still work");
    assert!(after.redeem(link.expose_secret()).await.is_err());
}
