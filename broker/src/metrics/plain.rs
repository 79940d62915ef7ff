//! The older text format of Prometheus, out of the newer one.

/// Names counters as they are sampled, and leaves out what the older format has no word for.
pub(super) fn plain(open_metrics: &str) -> String {
    let mut plain = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            plain.push_str(line);
            plain.push('\n');
            continue;
        };
        let mut words = comment.splitn(3, ' ');
        let (what, name, rest) = (words.next(), words.next(), words.next().unwrap_or_default());
        match (what, name) {
            (Some("HELP"), Some(_)) => help = Some(rest),
            (Some("TYPE"), Some(name)) => {
                let (suffix, kind) = match rest {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    other => ("", other),
                };
                if let Some(help) = help.take() {
                    plain.push_str(&format!("# HELP {name}{suffix} {help}\n"));
                }
                plain.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            // The unit is in the name, and the end is the end of the text.
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_as_they_are_sampled() {
        let open = "# HELP a Some a.\n# TYPE a counter\na_total{q=\"# x\"} 1\n# HELP b_seconds B.\n\
                    # TYPE b_seconds gauge\n# UNIT b_seconds seconds\nb_seconds 2.5\n# TYPE c info\nc_info 1\n# EOF\n";
        let plain_text = "# HELP a_total Some a.\n# TYPE a_total counter\na_total{q=\"# x\"} 1\n\
                          # HELP b_seconds B.\n# TYPE b_seconds gauge\nb_seconds 2.5\n# TYPE c_info gauge\nc_info 1\n";
        assert_eq!(plain(open), plain_text);
    }
}
