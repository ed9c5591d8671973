//! What approvals promise.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq)]
struct Plan(&'static str);
impl Hashed for Plan {
    fn plan_hash(&self) -> String {
        crate::core::digest::hex(self.0.as_bytes())
    }
}

fn person(id: &str, role: Role, teams: &[&str]) -> Person {
    Person {
        id: PersonId(format!("web:{id}")),
        name: id.to_owned(),
        role,
        teams: teams.iter().map(|team| (*team).to_owned()).collect(),
    }
}

fn now() -> Timestamp {
    "2026-11-21T02:00:00Z".parse().unwrap()
}

fn request(risk: Risk) -> Request {
    Request::new(Plan("restart").plan_hash(), Some(PersonId("web:ana".into())), Policy::default_for(risk), now())
}

#[test]
fn one_approver_is_enough_for_a_restart_and_two_are_needed_to_destroy() {
    let bea = person("bea", Role::Approver, &[]);
    let cem = person("cem", Role::Admin, &[]);
    let restart = request(Risk::Disruptive);
    let vote = restart.vote(&bea, None, &[], now(), None).unwrap();
    let approved = Approved::from_votes(Plan("restart"), &restart, &[vote]).unwrap();
    assert!(matches!(approved.right(), Right::Persons { votes, .. } if votes.len() == 1));

    let destroy = request(Risk::Destructive);
    let first = destroy.vote(&bea, None, &[], now(), None).unwrap();
    let one = [first];
    assert_eq!(Approved::from_votes(Plan("restart"), &destroy, &one), Err(Unapproved::Missing(1)));
    assert_eq!(destroy.vote(&bea, None, &one, now(), None), Err(Refusal::Already { name: "bea".into() }));
    let both = [one[0].clone(), destroy.vote(&cem, None, &one, now(), None).unwrap()];
    assert_eq!(destroy.standing(&both), Standing::Complete);
}

#[test]
fn a_vote_twice_from_one_person_counts_once_even_if_it_was_stored_twice() {
    let destroy = request(Risk::Destructive);
    let vote = destroy.vote(&person("bea", Role::Approver, &[]), None, &[], now(), None).unwrap();
    assert_eq!(destroy.standing(&[vote.clone(), vote]), Standing::Missing(1));
}

#[test]
fn an_approval_is_void_when_the_plan_changed() {
    let restart = request(Risk::Disruptive);
    let bea = person("bea", Role::Approver, &[]);
    assert_eq!(restart.vote(&bea, Some("0000"), &[], now(), None), Err(Refusal::OtherPlan));
    let vote = restart.vote(&bea, Some(&Plan("restart").plan_hash()), &[], now(), None).unwrap();
    assert_eq!(Approved::from_votes(Plan("restart two"), &restart, &[vote]), Err(Unapproved::OtherPlan));
}

#[test]
fn who_proposed_it_does_not_approve_it_unless_the_policy_allows() {
    let ana = person("ana", Role::Admin, &[]);
    let mut restart = request(Risk::Disruptive);
    assert_eq!(restart.vote(&ana, None, &[], now(), None), Err(Refusal::OwnProposal { name: "ana".into() }));
    restart.policy.allow_self = true;
    assert!(restart.vote(&ana, None, &[], now(), None).is_ok());
}

#[test]
fn an_expired_request_takes_no_vote_but_keeps_those_made_in_time() {
    let restart = request(Risk::Disruptive);
    let bea = person("bea", Role::Approver, &[]);
    let late = restart.expires;
    assert!(matches!(restart.vote(&bea, None, &[], late, None), Err(Refusal::Expired { .. })));
    let vote = restart.vote(&bea, None, &[], now(), None).unwrap();
    // A crash, a night: the decision was made in time.
    assert!(Approved::from_votes(Plan("restart"), &restart, &[vote]).is_ok());
}

#[test]
fn named_approvers_are_people_or_teams_and_the_role_still_counts() {
    let mut restart = request(Risk::Disruptive);
    restart.policy.approvers = vec!["bea".into(), "payments".into()];
    let vote = |who: &Person| restart.vote(who, None, &[], now(), None);
    assert!(vote(&person("bea", Role::Approver, &[])).is_ok());
    assert!(vote(&person("dan", Role::Approver, &["Payments"])).is_ok());
    assert!(matches!(vote(&person("eva", Role::Admin, &["shop"])), Err(Refusal::NotAnApprover { .. })));
    assert!(matches!(vote(&person("bea", Role::Responder, &[])), Err(Refusal::Role { .. })));
    let mut imposter = person("eva", Role::Approver, &[]);
    imposter.name = "bea".into();
    assert!(matches!(vote(&imposter), Err(Refusal::NotAnApprover { .. })), "a display name is no identity");
}

#[test]
fn glass_is_broken_by_an_admin_with_a_reason_only() {
    assert!(Approved::break_glass(Plan("restart"), &person("cem", Role::Admin, &[]), "site down").is_ok());
    assert!(Approved::break_glass(Plan("restart"), &person("cem", Role::Admin, &[]), "  ").is_err());
    assert!(Approved::break_glass(Plan("restart"), &person("bea", Role::Approver, &[]), "site down").is_err());
}

#[test]
fn a_refusal_is_a_sentence_that_says_who_may() {
    let restart = request(Risk::Disruptive);
    let refusal = restart.vote(&person("vic", Role::Viewer, &[]), None, &[], now(), None).unwrap_err();
    assert!(refusal.to_string().contains("approver"), "{refusal}");
}

fn any_role() -> impl Strategy<Value = Role> {
    prop::sample::select(vec![Role::Viewer, Role::Responder, Role::Approver, Role::Admin])
}

proptest! {
    /// Whatever votes are in the store, the right needs as many different people as the policy says, all of them with the
    /// role, none the proposer, none late, none for another plan.
    #[test]
    fn no_set_of_votes_gives_more_than_it_should(
        count in 1_u32..4,
        allow_self in any::<bool>(),
        listed in any::<bool>(),
        votes in prop::collection::vec((0_u8..5, any_role(), any::<bool>(), 0_i64..4000, any::<bool>()), 0..12),
    ) {
        let mut policy = Policy::default_for(Risk::Destructive);
        policy.count = count;
        policy.allow_self = allow_self;
        if listed {
            policy.approvers = vec!["p1".into(), "team".into()];
        }
        let request = Request::new(Plan("x").plan_hash(), Some(PersonId("web:p0".into())), policy, now());
        let votes: Vec<Vote> = votes.into_iter().map(|(who, role, right_plan, at, in_team)| Vote {
            by: PersonId(format!("web:p{who}")),
            name: format!("p{who}"),
            role,
            teams: if in_team { vec!["team".into()] } else { vec![] },
            plan_hash: if right_plan { Plan("x").plan_hash() } else { "other".into() },
            at: now() + std::time::Duration::from_secs(u64::try_from(at).unwrap()),
            reason: None,
        }).collect();
        let mut good: Vec<&PersonId> = votes.iter().filter(|vote| {
            vote.role >= Role::Approver
                && vote.plan_hash == request.plan_hash
                && vote.at < request.expires
                && (allow_self || vote.by.0 != "web:p0")
                && (!listed || vote.by.0 == "web:p1" || !vote.teams.is_empty())
        }).map(|vote| &vote.by).collect();
        good.sort();
        good.dedup();
        let approved = Approved::from_votes(Plan("x"), &request, &votes);
        prop_assert_eq!(approved.is_ok(), good.len() >= count as usize);
        if let Ok(approved) = approved {
            let counts = matches!(approved.right(), Right::Persons { votes, .. } if votes.len() == good.len());
            prop_assert!(counts);
        }
    }
}
