//! Rows for programs that read lines: separated by tabs, or by commas as RFC 4180 says.

use super::cell::plain;
use serde_json::Value;

/// The same columns as on a terminal, never cut.
pub(super) fn tabs(has_head: bool, columns: &[&str], rows: &[Value]) -> Vec<String> {
    let head = columns.iter().map(|column| column.to_uppercase()).collect::<Vec<_>>().join("\t");
    let rows = rows
        .iter()
        .map(|row| columns.iter().map(|column| plain(&row[*column])).collect::<Vec<_>>().join("\t"));
    has_head.then_some(head).into_iter().chain(rows).collect()
}

/// Values with a head; nothing stands for null.
pub(super) fn csv(has_head: bool, columns: &[&str], rows: &[Value]) -> Vec<String> {
    let head = columns.join(",");
    let rows = rows
        .iter()
        .map(|row| columns.iter().map(|column| quoted(&row[*column])).collect::<Vec<_>>().join(","));
    has_head.then_some(head).into_iter().chain(rows).collect()
}

fn quoted(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_would_break_a_line_does_not() {
        let rows =
            [json!({"a": "x\ty\nz", "b": null, "c": true}), json!({"a": "say \"1,2\"", "b": 3, "c": false})];
        let columns = ["a", "b", "c"];
        assert_eq!(tabs(true, &columns, &rows), ["A\tB\tC", "x y z\t-\tyes", "say \"1,2\"\t3\tno"]);
        let expected = ["a,b,c", "\"x\ty\nz\",,true", "\"say \"\"1,2\"\"\",3,false"];
        assert_eq!(csv(true, &columns, &rows), expected);
        assert_eq!(csv(false, &columns, &[]), [""; 0]);
    }
}
