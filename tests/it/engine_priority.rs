//! Where tasks of several runs wait for a place, the more important run goes first.

use mayday::playbook::{Faults, Proposed, RunState, Runs as _, TaskState};

use super::engine_world::{Act, World};

#[tokio::test]
async fn a_run_of_higher_priority_gets_the_next_free_place_though_it_came_later() {
    let block = "{playbook_id: PB-Block, name: a, tasks: [{id: block, type: Metric_Query, parameters: {expr: up}, timeout: 2h}]}";
    let low = "{playbook_id: PB-Low, name: a, tasks: [{id: low, type: Metric_Query, parameters: {expr: up}}]}";
    let also = "{playbook_id: PB-Also, name: a, tasks: [{id: also, type: Metric_Query, parameters: {expr: up}}]}";
    let high = "{playbook_id: PB-High, name: a, priority: 10, tasks: [{id: high, type: Metric_Query, parameters: {expr: up}}]}";
    let mut world = World::of(&[block, low, also, high]);
    world.options.effects_at_once = 1;
    world.target().script.insert("block".to_owned(), [Act::Hang].into());
    let engine = world.engine(Faults::none()).await;
    let blocks = world.propose(&engine, "PB-Block").await;
    world.until(&engine, blocks, "running", |view| view.tasks[0].state == TaskState::Running).await;
    let mut runs = Vec::new();
    for playbook in ["PB-Low", "PB-Also", "PB-High"] {
        let Proposed::New(run) = engine.propose(world.request(playbook, playbook)).await.unwrap() else { panic!() };
        runs.push(run);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    assert_ne!(engine.get(blocks).await.unwrap().unwrap().state, RunState::Ended, "the place is taken still");
    world.clock.advance(std::time::Duration::from_secs(2 * 3600));
    for run in runs {
        world.until_ended(&engine, run).await;
    }
    assert_eq!(world.target().planned, ["block", "high", "low", "also"]);
}
