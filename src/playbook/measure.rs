//! Whether a change made it worse, by the condition that must hold after it.
//!
//! Before is a reading right before the first change that is measured; where that failed, the one that the run stored before it. After
//! is the last one of the verification. It is worse if the condition held before and is false now; or if the condition
//! compares one number with a limit (`cpu.value < 80`) and the number is further from the limit than before, by more than a
//! tenth of the distance it had. Anything else that does not hold is "no effect": a value that could not be read says nothing.

use serde_json::Value;

use super::condition::Condition;

/// A number that got this much further from its limit has got worse; less may be chance.
const CLEARLY: f64 = 1.1;

/// Whether the values after a change are worse than those before it.
#[must_use]
pub fn worse(condition: &Condition, before: &Value, after: &Value) -> bool {
    if condition.holds(after) != Ok(false) {
        return false;
    }
    if condition.holds(before) == Ok(true) {
        return true;
    }
    let distance = |values: &Value| condition.distance(values);
    match (distance(before), distance(after)) {
        (Some(before), Some(after)) => before >= 0.0 && after > before * CLEARLY,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn is_worse(condition: &str, before: Value, after: Value) -> bool {
        worse(&Condition::parse(condition).unwrap(), &json!({"x": before}), &json!({"x": after}))
    }

    #[test]
    fn what_held_before_and_does_not_now_is_worse() {
        assert!(is_worse("x.ok", json!({"ok": true}), json!({"ok": false})));
        assert!(!is_worse("x.ok", json!({"ok": false}), json!({"ok": false})));
        assert!(!is_worse("x.ok", json!({}), json!({"ok": false})));
        assert!(!is_worse("x.ok", json!({"ok": true}), json!({})), "what can't be read is not judged");
    }

    #[test]
    fn a_number_clearly_further_from_its_limit_is_worse() {
        let v = |value: f64| json!({"v": value});
        assert!(is_worse("x.v < 80", v(90.0), v(95.0)));
        assert!(!is_worse("x.v < 80", v(90.0), v(90.5)), "chance");
        assert!(!is_worse("x.v < 80", v(95.0), v(90.0)), "better, and not yet good");
        assert!(is_worse("80 >= x.v", v(90.0), v(99.0)));
        assert!(is_worse("x.v > 10.5", v(8.0), v(1.0)));
        assert!(!is_worse("x.v > 10.5", v(8.0), v(9.0)));
        assert!(is_worse("x.v == 1", v(1.0), v(0.0)));
        assert!(!is_worse("x.v == 1", v(0.0), v(0.0)));
        assert!(!is_worse("x.v < 80 && x.w < 5", json!({"v": 90, "w": 1}), json!({"v": 99, "w": 1})));
    }
}
