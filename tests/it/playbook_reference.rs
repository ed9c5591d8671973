//! The reference and the schema of the playbook language are what this build says, and true of the playbooks there are.

use mayday::playbook::authoring;

#[test]
fn the_committed_reference_is_what_this_build_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/REFERENCE.md");
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed.trim_end() == authoring::reference().trim_end(),
        "playbooks/REFERENCE.md is not current; write it anew with `cargo run -- playbook reference > playbooks/REFERENCE.md`"
    );
}

#[test]
fn the_reference_explains_every_code_and_task_type() {
    let reference = authoring::reference();
    for task in mayday::playbook::tasks::TASK_TYPES {
        assert!(reference.contains(&format!("### {}\n\n{}", task.name, task.doc)), "{}", task.name);
    }
    let codes: Vec<&str> = reference.lines().filter(|line| line.starts_with("| PB0")).collect();
    assert!(codes.len() >= 37);
    for line in codes {
        let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.trim().is_empty()), "{line}");
    }
}
