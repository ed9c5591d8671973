//! The playbook language from outside: the design's example, hostile input, the schema.

use mayday::playbook::Book;
use mayday::playbook::authoring;
use mayday::playbook::condition::Condition;
use mayday::playbook::text;
use proptest::prelude::*;
use serde_json::json;

const EXAMPLE: &str = include_str!("../data/playbooks/design-example.yaml");

#[test]
fn the_example_of_the_design_loads_as_it_stands() {
    assert_eq!(authoring::check_text("example.yaml", EXAMPLE.as_bytes()), []);
    let book = Book::read("example.yaml", EXAMPLE.as_bytes()).unwrap();
    assert_eq!(book.playbook.tasks.len(), 5);
    assert_eq!(book.conditions[3].len(), 2);
}

#[test]
fn the_schema_names_every_task_type_and_their_parameters() {
    let schema = authoring::schema();
    let task = &schema["$defs"]["Task"];
    assert_eq!(task["properties"]["type"]["enum"].as_array().unwrap().len(), 24);
    let restart = task["allOf"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["if"]["properties"]["type"]["const"] == "Service_Restart");
    assert_eq!(restart.unwrap()["then"]["properties"]["parameters"]["required"], json!(["service"]));
    assert_eq!(schema["additionalProperties"], json!(false));
}

fn failures(text: &str) -> Vec<String> {
    let book = Book::read("t.yaml", text.as_bytes()).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
    authoring::run_tests(&book).into_iter().flat_map(|report| report.failures).collect()
}

#[test]
fn a_test_of_a_playbook_says_what_is_rolled_back() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: load}
  - {id: first, type: Run_Command, depends_on: [read], parameters: {program: a}, rollback: undo_it}
  - {id: undo_it, type: Run_Command, parameters: {program: b}}
  - id: shift
    type: Traffic_Shift
    depends_on: [first]
    parameters: {service: a, to: b, percent: 0}
    verify: {condition: load.value < 50, otherwise: rollback}
tests:
  - name: it helps
    given: {read: [{value: 90}, {value: 30}], first: {exit_code: 0}, shift: {}}
    expect: {tasks: {first: succeeded, shift: succeeded, undo_it: pending}, outcome: fixed}
  - name: it does not help
    given: {read: [{value: 90}, {value: 89}], first: {exit_code: 0}, shift: {}, undo_it: {exit_code: 0}}
    expect:
      tasks: {first: rolled_back, shift: rolled_back, undo_it: succeeded}
      messages: ['takes back what it did (shift, first)']
      outcome: no_effect
  - name: it makes it worse
    given: {read: [{value: 90}, {value: 120}], first: {exit_code: 0}, shift: {}, undo_it: {exit_code: 0}}
    expect: {outcome: made_worse}
  - name: it can't be undone
    given: {read: [{value: 90}, {value: 89}], first: {exit_code: 0}, shift: {}, 'undo:shift': {fails: no}}
    expect: {tasks: {first: succeeded, shift: failed, 'undo:shift': failed}, messages: [is stuck], outcome: stuck}
";
    assert_eq!(failures(text), Vec::<String>::new());
}

#[test]
fn a_test_of_a_playbook_knows_what_held_before_and_for_how_long_it_must_hold() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: read, type: Metric_Query, parameters: {expr: up}, output_variable: load}
  - {id: shift, type: Traffic_Shift, depends_on: [read], parameters: {service: a, to: b, percent: 0}}
  - {id: check, type: Verify, depends_on: [shift], parameters: {condition: load.value < 50, for: 4s}}
tests:
  - name: it holds after a while
    given: {read: [{value: 90}, {value: 30}, {value: 60}, {fails: no answer}, {value: 30}], shift: {}}
    expect: {outcome: fixed}
  - name: it held at two readings, which is not for four seconds
    given: {read: [{value: 90}, {value: 30}, {value: 30}, {value: 90}], shift: {}}
    expect: {tasks: {check: failed}, outcome: no_effect}
  - name: it held before
    given: {read: {value: 30}, shift: {}}
    expect: {tasks: {check: succeeded}, outcome: no_effect}
";
    assert_eq!(failures(text), Vec::<String>::new());
}

#[test]
fn a_test_of_a_playbook_reads_before_the_change_what_is_read_only_after_it() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: shift, type: Traffic_Shift, parameters: {service: a, to: b, percent: 0}, retry: {attempts: 2, backoff: 1s}}
  - {id: read, type: Metric_Query, depends_on: [shift], parameters: {expr: up}, output_variable: load}
  - {id: check, type: Verify, depends_on: [read], parameters: {condition: load.value < 50}}
tests:
  - name: one output is how it is all along
    given: {read: {value: 30}, shift: {}}
    expect: {outcome: no_effect}
  - name: the first of several is how it was before
    given: {read: [{value: 90}, {value: 30}], shift: {}}
    expect: {outcome: fixed}
  - name: once, however often the change is tried
    given: {read: [{value: 90}, {value: 30}], shift: [{fails: not now}, {}]}
    expect: {outcome: fixed}
  - name: it held before and does not after it
    given: {read: [{value: 30}, {value: 90}], shift: {}}
    expect: {outcome: made_worse}
";
    assert_eq!(failures(text), Vec::<String>::new());
}

#[test]
fn a_test_of_a_playbook_gives_outputs_item_by_item() {
    let text = "
playbook_id: PB-A
name: a
tasks:
  - {id: find, type: API_Call, action: GET /hosts, output_variable: found}
  - id: clean
    type: Run_Command
    depends_on: [find]
    for_each: {in: 'found.hosts.filter(h, h != \"c\")', concurrency: 2}
    parameters: {program: clean, args: ['{{ item }}']}
    on_failure: continue
    output_variable: cleaned
    rollback: unclean
  - {id: unclean, type: Run_Command, parameters: {program: unclean, args: ['{{ item }}', '{{ cleaned.exit_code }}']}}
  - {id: tell, type: Notification, depends_on: [clean], parameters: {message: '{{ cleaned|length }} hosts, {{ tasks.clean.note }}'}}
tests:
  - name: all
    given: {find: {hosts: [a, b, c]}, clean: {exit_code: 0}}
    expect: {tasks: {clean: succeeded, 'clean[1]': succeeded}, messages: ['2 hosts, 2 items'], outcome: no_effect}
  - name: one fails
    given: {find: {hosts: [a, b, c]}, clean: {exit_code: 0}, 'clean[1]': {fails: full}}
    expect: {tasks: {clean: failed, 'clean[0]': succeeded, 'clean[1]': failed}, messages: ['1 of 2 items failed']}
  - name: none
    given: {find: {hosts: []}}
    expect: {tasks: {clean: succeeded}, messages: ['0 hosts, the list is empty']}
  - name: no list
    given: {find: {hosts: 3}}
    expect: {tasks: {clean: failed}}
";
    assert_eq!(failures(text), Vec::<String>::new());
}

/// Pieces that playbooks are made of, put together wrongly more often than rightly.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("tasks:".to_owned()),
        Just("\n".to_owned()),
        Just("  - ".to_owned()),
        Just("{{ ".to_owned()),
        Just(" }}".to_owned()),
        Just("{%".to_owned()),
        Just("&a [*a]".to_owned()),
        Just("id: a".to_owned()),
        Just("depends_on: [a]".to_owned()),
        Just("conditions: ['a.b < 1']".to_owned()),
        Just("type: API_Call".to_owned()),
        Just("[[[{".to_owned()),
        Just("'\"".to_owned()),
        Just("? : - #".to_owned()),
        Just("1e999 .nan 0x7".to_owned()),
        "[a-z_.<>=&|!(){}\\[\\]'\"0-9é \\n-]{0,12}",
        ".{0,6}",
    ]
}

fn soup() -> impl Strategy<Value = String> {
    proptest::collection::vec(piece(), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_either_a_playbook_or_mistakes_with_places(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Err(mistakes) = Book::read("x", &bytes) {
            prop_assert!(!mistakes.is_empty());
            prop_assert!(mistakes.iter().all(|mistake| mistake.place.line > 0 && mistake.place.column > 0));
        }
    }

    #[test]
    fn pieces_of_playbooks_are_either_a_playbook_or_mistakes(text in soup()) {
        let _ = Book::read("x", text.as_bytes());
        let _ = Book::read("x", format!("playbook_id: P\nname: n\n{text}").as_bytes());
    }

    #[test]
    fn the_example_with_a_piece_changed_is_never_a_crash(at in 0_usize..2000, cut in 0_usize..60, piece in piece()) {
        let chars: Vec<char> = EXAMPLE.chars().collect();
        let at = at.min(chars.len());
        let end = (at + cut).min(chars.len());
        let text: String = chars[..at].iter().copied().chain(piece.chars()).chain(chars[end..].iter().copied()).collect();
        let _ = Book::read("x", text.as_bytes());
    }

    #[test]
    fn any_condition_is_parsed_or_refused_and_evaluating_it_never_panics(text in soup()) {
        if let Ok(condition) = Condition::parse(&text) {
            let _ = condition.holds(&json!({"a": {"b": 1, "l": [1, 2, 3], "t": "x"}}));
        }
    }

    #[test]
    fn any_text_is_filled_in_or_refused(text in soup()) {
        let _ = text::names(&text);
        let _ = text::render(&text, &json!({"a": {"b": "x y"}}), text::Use::People);
        if let Ok(rendered) = text::render("{{ a }}", &json!({"a": text.clone()}), text::Use::Change) {
            prop_assert!(rendered.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{rendered:?}");
        }
    }
}
