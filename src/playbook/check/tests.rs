//! Each kind of mistake is found, at its place, with its fix; many at once.

use crate::playbook::Book;

fn mistakes(text: &str) -> Vec<String> {
    match Book::read("a.yaml", text.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(found) => found.iter().map(ToString::to_string).collect(),
    }
}

const HEAD: &str = "playbook_id: PB-A\nname: A\n";

#[test]
fn the_example_of_the_design_loads_as_it_stands() {
    let text = include_str!("../../../tests/data/playbooks/design-example.yaml");
    assert_eq!(mistakes(text), Vec::<String>::new());
}

#[test]
fn all_mistakes_are_reported_at_once_each_with_place_code_and_fix() {
    let text = format!(
        "{HEAD}colour: red
tasks:
  - id: a
    type: API_Cal
    depend_on: [b]
  - id: b
    type: Log_Aggregation
    timeout: 10
    on_failure: abandon
    parameters:
      servise: x
"
    );
    let found = mistakes(&text).join("\n");
    for expected in [
        "a.yaml:3:1: PB003: the playbook has no key `colour`",
        "a.yaml:6:11: PB012: there is no task type `API_Cal`; did you mean `API_Call`?",
        "a.yaml:7:5: PB003: the task `a` has no key `depend_on`; did you mean `depends_on`?",
        "a.yaml:10:14: PB007: `10` has no unit; write for instance 10s or 10m",
        "a.yaml:11:17: PB006: `on_failure` can't be \"abandon\"",
        "PB013: Log_Aggregation takes no `servise`; did you mean `service`?",
    ] {
        assert!(found.contains(expected), "missing {expected:?} in\n{found}");
    }
    // What `servise` was meant to be is not missing besides.
    assert!(!found.contains("PB014"), "{found}");
}

#[test]
fn a_circle_is_named() {
    let text = format!(
        "{HEAD}tasks:
  - {{id: a, type: API_Call, action: GET /a, depends_on: [c]}}
  - {{id: b, type: API_Call, action: GET /b, depends_on: [a]}}
  - {{id: c, type: API_Call, action: GET /c, depends_on: [b]}}
"
    );
    let found = mistakes(&text).join("\n");
    assert!(found.contains("PB011: these tasks wait for each other: "), "{found}");
    assert!(
        found.contains("a → b → c → a") || found.contains("b → c → a → b") || found.contains("c → a → b → c"),
        "{found}"
    );
}

#[test]
fn conditions_see_only_outputs_that_are_there_by_then() {
    let text = format!(
        "{HEAD}tasks:
  - {{id: logs, type: Log_Aggregation, parameters: {{service: a}}, output_variable: logs}}
  - {{id: other, type: API_Call, action: GET /a, output_variable: status}}
  - id: restart
    type: Service_Restart
    depends_on: [logs]
    conditions:
      - \"{{{{ logs.error_rat < 0.1 }}}}\"
      - status.ok
      - nobody.ok
      - \"logs.errors + 1 > 2.0\"
      - \"logs.errors <\"
    parameters: {{service: a}}
"
    );
    let found = mistakes(&text).join("\n");
    for expected in [
        "a.yaml:10:13: PB019: the output of a Log_Aggregation has no `error_rat`; did you mean `error_rate`?",
        "a.yaml:11:9: PB018: `status` is the output of the task `other`, which need not be done by then; add `other` to `depends_on`",
        "a.yaml:12:9: PB017: nothing declares `nobody`",
        "PB026",
        "PB016: `logs.errors <` is not a condition",
    ] {
        assert!(found.contains(expected), "missing {expected:?} in\n{found}");
    }
}

#[test]
fn ids_dependencies_and_references_must_exist_once() {
    let text = format!(
        "{HEAD}tasks:
  - {{id: a, type: API_Call, action: GET /a, output_variable: x}}
  - {{id: a, type: API_Call, action: FETCH /a, output_variable: x, depends_on: [zz]}}
  - {{id: 'b b', type: Notification, action: GET /x, parameters: {{message: 'a {{{{ who }}}}'}}}}
  - {{id: w, type: Wait}}
"
    );
    let found = mistakes(&text).join("\n");
    for expected in [
        "PB009: two tasks are called `a`",
        "PB009: two tasks give their output the name `x`",
        "PB010: `a` depends on `zz`",
        "PB027: `\"FETCH /a\"` must begin with",
        "PB008",
        "PB017: nothing declares `who`",
        "PB027: a Notification has no `action`",
        "PB014: Wait needs `for:` a duration, `until:` a condition, or both",
    ] {
        assert!(found.contains(expected), "missing {expected:?} in\n{found}");
    }
}

#[test]
fn text_of_an_alert_reaches_a_change_only_through_a_checked_parameter() {
    let text = format!(
        "{HEAD}parameters:
  free: {{type: string, default: '{{{{ alert.description }}}}'}}
  service: {{type: name, default: '{{{{ alert.service_name }}}}'}}
tasks:
  - {{id: a, type: Service_Restart, parameters: {{service: '{{{{ alert.service_name }}}}'}}}}
  - {{id: b, type: Service_Restart, parameters: {{service: '{{{{ params.service }}}}'}}}}
"
    );
    let found = mistakes(&text);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|line| line.contains("PB022")), "{found:#?}");
}

#[test]
fn an_alert_does_not_choose_who_is_told() {
    let text = format!(
        "{HEAD}parameters:
  channel: {{type: name, default: '{{{{ alert.labels.channel }}}}'}}
tasks:
  - {{id: a, type: Notification, parameters: {{message: '{{{{ alert.description }}}}', channel: '{{{{ alert.labels.chan }}}}'}}}}
  - {{id: b, type: Notification, parameters: {{message: x, recipients: ['{{{{ alert.labels.who }}}}']}}}}
  - {{id: c, type: Notification, parameters: {{message: x, channel: '{{{{ params.channel }}}}'}}}}
  - {{id: d, type: Ask_Human, parameters: {{question: '{{{{ alert.description }}}}'}}}}
"
    );
    let found = mistakes(&text);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|line| line.contains("PB022") && line.contains("who is told")), "{found:#?}");
}

#[test]
fn a_verification_must_be_measurable() {
    let text = format!(
        "{HEAD}tasks:
  - {{id: a, type: Service_Restart, parameters: {{service: x}}, output_variable: done, verify: {{condition: 'done.pid_after > 0.0'}}}}
"
    );
    assert!(mistakes(&text).join("\n").contains("PB025"));
}

#[test]
fn hostile_files_get_an_answer_and_not_a_crash() {
    let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
    for (name, of) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("f", "e"), ("g", "f")] {
        bomb.push_str(&format!("{name}: &{name} [*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of}]\n"));
    }
    for (text, code) in [
        (bomb, "PB002"),
        ("[".repeat(100_000), "PB002"),
        ("- ".repeat(50_000), "PB002"),
        ("x".repeat(300_000), "PB001"),
        ("a: b: c".to_owned(), "PB002"),
        ("just text".to_owned(), "PB005"),
        (String::new(), "PB00"),
        ("playbook_id: &a\n  x: *a\n".to_owned(), "PB0"),
    ] {
        let found = mistakes(&text);
        assert!(found.first().is_some_and(|line| line.contains(code)), "{:?}: {found:?}", &text[..text.len().min(40)]);
    }
    let found = Book::read("a.yaml", b"playbook_id: \xff\n").unwrap_err();
    assert!(found[0].to_string().starts_with("a.yaml:1:14: PB001: this byte is not UTF-8"), "{}", found[0]);
}

#[test]
fn a_rollback_must_be_able_to_undo_and_what_undoes_is_nothing_else() {
    let text = format!(
        "{HEAD}tasks:
  - {{id: look, type: Metric_Query, parameters: {{expr: up}}, rollback: inverse, output_variable: up}}
  - {{id: restart, type: Service_Restart, parameters: {{service: a}}, rollback: inverse}}
  - {{id: clean, type: Disk_Cleanup, depends_on: [look], parameters: {{service: a}}, verify: {{condition: up.value < 1, otherwise: rollback}}}}
  - {{id: shift, type: Traffic_Shift, depends_on: [look], parameters: {{service: a, to: b, percent: 1}}, rollback: none, verify: {{condition: up.value < 1, otherwise: rollback}}}}
  - {{id: run, type: Run_Command, parameters: {{program: a}}, rollback: undo, output_variable: ran}}
  - {{id: more, type: Run_Command, parameters: {{program: a}}, rollback: undo}}
  - {{id: odd, type: Run_Command, parameters: {{program: a}}, rollback: unod}}
  - {{id: self, type: Run_Command, parameters: {{program: a}}, rollback: self}}
  - {{id: undo, type: Run_Command, depends_on: [look], conditions: ['true'], pause: true, on_failure: continue, parameters: {{program: '{{{{ ran.exit_code }}}}'}}}}
  - {{id: last, type: Wait, depends_on: [undo], parameters: {{for: 1s}}}}
  - {{id: post, type: API_Call, action: POST /a, rollback: inverse}}
  - {{id: patch, type: API_Call, action: PATCH /a, rollback: inverse}}
"
    );
    let found = mistakes(&text).join("\n");
    for expected in [
        "a.yaml:4:70: PB029: `look` changes nothing, so there is nothing to undo; remove it",
        "PB029: a Service_Restart has no inverse of its own; name a task that undoes it",
        "PB029: a Disk_Cleanup has no inverse of its own",
        "PB029: of API calls only a PATCH has an inverse of its own; name a task",
        "PB029: `otherwise: rollback` undoes this task too, and `rollback: none` says not to",
        "PB029: `undo` already undoes `run`",
        "PB010: `rollback` is `inverse`, `none` or the id of a task, not `unod`; did you mean `undo`?",
        "PB029: `self` can't undo itself",
        "PB030: `undo` runs only to undo `run`, so it can't have `depends_on`; remove it",
        "PB030: `undo` runs only to undo `run`, so it can't have `conditions`; remove it",
        "PB030: `undo` runs only to undo `run`, so it can't have `pause`; remove it",
        "PB030: `undo` undoes `run`: when that fails a person is needed; remove `on_failure`",
        "PB030: `undo` runs only to undo `run`, so nothing can wait for it; remove the dependency",
    ] {
        assert!(found.contains(expected), "missing {expected:?} in\n{found}");
    }
    // It sees the output of what it undoes.
    assert!(!found.contains("PB018"), "{found}");
    assert_eq!(found.matches("only a PATCH").count(), 1, "{found}");
}

#[test]
fn a_list_must_be_one_and_its_items_are_seen_only_where_they_are() {
    let text = format!(
        "{HEAD}tasks:
  - {{id: a, type: Run_Command, for_each: 7, parameters: {{program: p}}}}
  - {{id: b, type: Run_Command, for_each: [], parameters: {{program: p}}}}
  - {{id: c, type: Run_Command, for_each: ['{{{{ params.x }}}}'], parameters: {{program: p}}}}
  - {{id: d, type: Run_Command, for_each: {{in: [1], concurrency: 0, most: 2}}, parameters: {{program: p}}}}
  - {{id: e, type: Run_Command, for_each: 'hosts <', parameters: {{program: p}}}}
  - {{id: f, type: Run_Command, for_each: nobody.hosts, conditions: [item.ok], parameters: {{program: '{{{{ item.x }}}}'}}}}
  - {{id: g, type: Verify, for_each: [1], parameters: {{condition: 'true'}}}}
  - {{id: h, type: Metric_Query, for_each: [up], parameters: {{expr: '{{{{ item }}}}'}}, output_variable: metrics}}
  - {{id: i, type: Notification, depends_on: [h], parameters: {{message: '{{{{ metrics.value }}}} {{{{ item }}}}'}}}}
  - {{id: j, type: Run_Command, for_each: {{concurrency: 2}}, parameters: {{program: p}}}}
"
    );
    let found = mistakes(&text).join("\n");
    for expected in [
        "a.yaml:4:42: PB005: `for_each` must be a list, or CEL that gives one",
        "a.yaml:5:42: PB031: the list is empty",
        "PB031: items of a list are taken as they are; write the list as CEL",
        "PB023: `concurrency` must be a whole number from 1 to 100, not 0",
        "PB003: `for_each` has no key `most`",
        "PB016: `hosts <` is not a condition",
        "PB017: nothing declares `nobody`",
        "PB017: `item` is there only in a task with `for_each`, and there not in its `conditions`",
        "PB031: a Verify waits once, not for each item",
        "PB019: `metrics` is a list, one output for each item; write `metrics[0].value`",
        "PB004: `for_each` needs `in:`",
    ] {
        assert!(found.contains(expected), "missing {expected:?} in\n{found}");
    }
    let many: Vec<String> = (0..101).map(|item| item.to_string()).collect();
    let text = format!(
        "{HEAD}tasks: [{{id: a, type: Run_Command, for_each: [{}], parameters: {{program: p}}}}]",
        many.join(", ")
    );
    assert!(mistakes(&text).join("").contains("PB023: `for_each` has 101 entries, at most 100 are allowed"));
}

#[test]
fn a_playbook_does_not_run_itself() {
    let text = format!(
        "{HEAD}tasks:
  - {{id: a, type: Sub_Playbook, timeout: 5m, parameters: {{playbook: pb-a}}}}
  - {{id: b, type: Sub_Playbook, rollback: c, parameters: {{parameters: {{}}}}}}
  - {{id: c, type: Service_Restart, parameters: {{service: x}}}}
"
    );
    let found = mistakes(&text).join("\n");
    for expected in [
        "a.yaml:4:69: PB032: a playbook can't run itself",
        "PB032: a Sub_Playbook takes as long as that playbook's `max_duration` allows; remove `timeout`",
        "PB029: only the run of `b` can take back what it did; write `rollback: inverse` instead of `c`",
        "PB014: Sub_Playbook needs the parameter `playbook`",
    ] {
        assert!(found.contains(expected), "missing {expected:?} in\n{found}");
    }
}
