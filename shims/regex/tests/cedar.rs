//! Cedar's patterns, through Cedar: what its documents and sources call valid is, and what they do not is not.
#![expect(clippy::unwrap_used, reason = "a test")]

use cedar_policy::{
    Context, Entities, EntityTypeName, EntityUid, EvalResult, Expression, Request, eval_expression,
};

fn value(text: &str) -> Result<EvalResult, String> {
    let uid: EntityUid = r#"User::"a""#.parse().unwrap();
    let request = Request::new(uid.clone(), uid.clone(), uid, Context::empty(), None).unwrap();
    let expression: Expression = text.parse().map_err(|error| format!("{error}"))?;
    eval_expression(&request, &Entities::empty(), &expression).map_err(|error| error.to_string())
}

#[test]
fn decimals() {
    for text in ["0.0", "1.2", "-1.25", "12.3456", "-922337203685477.5808", "922337203685477.5807"]
    {
        assert!(value(&format!("decimal(\"{text}\")")).is_ok(), "{text}");
    }
    for text in [
        "",
        "1",
        "1.",
        ".1",
        "1.23456",
        "+1.0",
        "1.0 ",
        " 1.0",
        "a",
        "1.0\\n",
        "922337203685477.5808",
        "\u{661}.\u{662}",
    ] {
        assert!(value(&format!("decimal(\"{text}\")")).is_err(), "{text}");
    }
}

#[test]
fn durations() {
    for (text, millis) in [
        ("1d", 86_400_000),
        ("-1h", -3_600_000),
        ("1d2h3m4s5ms", 93_784_005),
        ("90m", 5_400_000),
        ("1ms", 1),
        ("0s", 0),
    ] {
        let milliseconds = value(&format!("duration(\"{text}\").toMilliseconds()")).unwrap();
        assert_eq!(milliseconds, EvalResult::Long(millis), "{text}");
    }
    for text in ["", "d", "1", "1x", "1h1d", "1d ", "+1d", "1.5h", "--1d", "1d\\n"] {
        assert!(value(&format!("duration(\"{text}\")")).is_err(), "{text}");
    }
}

#[test]
fn dates() {
    for (text, millis) in [
        ("1970-01-01", 0),
        ("2024-10-15", 1_728_950_400_000),
        ("2024-10-15T11:35:00Z", 1_728_992_100_000),
        ("2024-10-15T11:35:00.000Z", 1_728_992_100_000),
        ("2024-10-15T11:35:00+0100", 1_728_988_500_000),
        ("2024-10-15T11:35:00.123-0100", 1_728_995_700_123),
    ] {
        let since = format!(
            "datetime(\"{text}\").durationSince(datetime(\"1970-01-01\")).toMilliseconds()"
        );
        assert_eq!(value(&since).unwrap(), EvalResult::Long(millis), "{text}");
    }
    for text in [
        "",
        "2024-10",
        "2024-13-01",
        "2024-02-30",
        "24-10-15",
        "2024-10-15T",
        "2024-10-15T11:35Z",
        "2024-10-15T11:35:00",
        "2024-10-15T11:35:00.1Z",
        "2024-10-15T11:35:00+01:00",
        "2024-10-15T24:00:00Z",
        "2024-10-15 ",
    ] {
        assert!(value(&format!("datetime(\"{text}\")")).is_err(), "{text}");
    }
}

#[test]
fn names() {
    for text in ["A", "_a", "A1", "A::B", "A::B::_C9"] {
        assert!(text.parse::<EntityTypeName>().is_ok(), "{text}");
    }
    for text in ["", "1A", "A:B", "A::", "::A", "A-B", "A::1", "\u{c4}", "A::B\n::", "if", "A::if"]
    {
        assert!(text.parse::<EntityTypeName>().is_err(), "{text}");
    }
}
