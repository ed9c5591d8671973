//! Where messages go.

use super::*;
use crate::action::testing::{context, intent, now};
use crate::alert::Severity;
use crate::core::IncidentId;
use crate::core::clock::ManualClock;
use crate::incident::Phase;
use crate::store::memory::Memory;
use crate::work::queue::Queued;

struct Desk {
    action: Notification,
    store: SharedStore,
    posts: Queue<Post>,
}

fn desk(mail: Option<Arc<dyn Mailer>>) -> Desk {
    let store = Memory::shared();
    let clock: SharedClock = Arc::new(ManualClock::at(now()));
    let action = Notification::new(store.clone(), clock.clone(), mail, "incidents".into());
    Desk { action, posts: Queue::new("post", store.clone(), clock), store }
}

impl Desk {
    async fn tell(&self, context: &Context, parameters: Value) -> Result<Value, Error> {
        let planned = self.action.plan(context, &parameters).await?;
        match self.action.perform(context, &intent(planned.target)).await? {
            Perform::Done(output) => Ok(output),
            Perform::Wait { .. } => panic!("a message does not wait"),
        }
    }

    async fn posted(&self) -> Vec<Post> {
        let mut all: Vec<Queued<Post>> = Vec::new();
        for shard in Shard::all() {
            all.extend(self.posts.due(shard, 100).await.unwrap());
        }
        all.into_iter().map(|queued| queued.record).collect()
    }

    async fn incident(&self) -> Context {
        let id = IncidentId::new(7);
        let incident = Incident {
            id,
            group_key: "service_name=x".into(),
            team: "shop".into(),
            service: "x".into(),
            channel: ChannelId::web("shop"),
            phase: Phase::Triggered,
            severity: Severity::Critical,
            severity_by_person: false,
            alert_name: "A".into(),
            description: "d".into(),
            started_at: now(),
            opened_at: now(),
            acknowledged_at: None,
            resolved_at: None,
            commander: None,
            firing: 1,
            alerts: 1,
            latest_alerts: vec![],
            findings: vec![],
            evidence: vec![],
            not_seen: vec![],
            chart: None,
            runs: vec![],
            known: crate::incident::Known::default(),
            version: 1,
        };
        let mut batch = Batch::new();
        batch.put(Key::of(["incident", &id.key()]), &incident).unwrap();
        self.store.commit(batch).await.unwrap();
        Context { incident: Some(id), ..context() }
    }
}

#[tokio::test]
async fn a_message_goes_to_the_incidents_thread_and_to_named_channels() {
    let desk = desk(None);
    let context = desk.incident().await;
    let output =
        desk.tell(&context, json!({"message": "done", "channel": "#ops", "recipients": ["shop"]})).await.unwrap();
    assert_eq!(output["to"], json!(["INC-7", "#ops"]));
    let posted = desk.posted().await;
    assert_eq!(posted.len(), 2, "the incident's own channel is not told twice");
    assert!(posted.iter().any(|post| post.channel.name == "shop" && post.thread.as_deref() == Some("INC-7")));
    assert!(posted.iter().any(|post| post.channel.name == "ops" && post.thread.is_none()));
}

#[tokio::test]
async fn mail_without_a_server_is_said_and_the_message_still_arrives() {
    let desk = desk(None);
    let context = desk.incident().await;
    let output = desk
        .tell(&context, json!({"message": "支付网关故障处理报告", "recipients": ["oncall@example.com"]}))
        .await
        .unwrap();
    assert_eq!(output["delivered"], true);
    assert_eq!(output["to"], json!(["INC-7"]));
    assert!(output["not_delivered"][0]["why"].as_str().unwrap().contains("no mail server"));
    assert_eq!(desk.posted().await.len(), 1);
}

#[tokio::test]
async fn without_an_incident_it_goes_to_the_default_channel() {
    let desk = desk(None);
    desk.tell(&context(), json!({"message": "hello"})).await.unwrap();
    assert_eq!(desk.posted().await[0].channel, ChannelId::web("incidents"));
}

#[tokio::test]
async fn performing_twice_shows_one_message_and_secrets_do_not_leave() {
    let desk = desk(None);
    for _ in 0..2 {
        desk.tell(&context(), json!({"message": "login password=hunter2"})).await.unwrap();
    }
    let posted = desk.posted().await;
    assert!(posted.iter().all(|post| post.slot == posted[0].slot && post.version == 1), "the same slot is one message");
    assert_eq!(posted[0].content, Content::Text("login password=[redacted]".into()));
}

struct Sent(std::sync::Mutex<Vec<String>>);
impl Mailer for Sent {
    fn send<'a>(&'a self, to: &'a str, subject: &'a str, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), String>> {
        self.0.lock().unwrap().push(format!("{to} {subject}"));
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn mail_goes_out_where_a_server_is() {
    let sent = Arc::new(Sent(std::sync::Mutex::default()));
    let desk = desk(Some(sent.clone()));
    let output = desk.tell(&context(), json!({"message": "m", "recipients": ["a@example.com"]})).await.unwrap();
    assert_eq!(output["not_delivered"], json!([]));
    assert_eq!(*sent.0.lock().unwrap(), ["a@example.com RUN-3: Step"]);
}

#[tokio::test]
async fn a_recipient_that_is_neither_is_refused_before_the_run() {
    let desk = desk(None);
    for name in ["a b", "x@y", "a@b.c\r\nBcc: d@e.f", "irc:ops", "", "#", "@"] {
        let refused = desk.action.plan(&context(), &json!({"message": "m", "recipients": [name]})).await;
        assert!(matches!(refused, Err(Error::Permanent(_))), "{name}");
    }
}
