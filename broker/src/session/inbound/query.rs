//! Query: which noun, which rows, which page.

use super::Rules;
use super::selection::{self, Selection};
use crate::limits::{
    SERIES_STEP_MS_DEFAULT, SERIES_STEP_MS_MIN, SERIES_VALUES_MAX, SERIES_WINDOW_MS_DEFAULT,
};
use crate::session::cursor;
use crate::session::form::{Checked, at, invalid, known, optional_name, unset, unsupported};
use bytes::Bytes;
use windlass_engine::JobId;
use windlass_engine::command::{Fields, JobsQuery, Query, SeriesQuery};
use windlass_engine::limits::ERRORS_WINDOW_MS_DEFAULT;
use windlass_engine::measure::Metric;
use windlass_proto::limits::ROWS_MAX;
use windlass_proto::v1::{self, query::What};

/// What all nouns have in common.
struct Page {
    select: Selection,
    /// 0 stands for the default.
    limit: usize,
    cursor: Bytes,
    newest_first: bool,
    name: String,
    fields: Vec<String>,
    /// 0 stands for the default.
    window_ms: u64,
    /// 0 stands for the default.
    step_ms: u64,
}

/// Checks a Query.
pub(super) fn query(query: v1::Query, rules: Rules) -> Checked<Query> {
    let v1::Query { select, limit, cursor, fields, newest_first, what, name, window_ms, step_ms } = query;
    let read = match known(what, "what")? {
        What::Unspecified => return Err(invalid("what", "a Query says what is read")),
        What::Job => job,
        What::Jobs => jobs,
        What::Queues => queues,
        What::Sessions => sessions,
        What::Server => server,
        What::Errors => errors,
        What::Config => config,
        What::Operations => operations,
        What::Limits => limits,
        What::Schedules => schedules,
        What::Explain => explain,
        What::Audit => audit,
        What::Logs => logs,
        What::Kinds => kinds,
        What::Scale => scale,
        What::Series => series,
        What::Export => export,
        What::Keys | What::Tokens => return Err(unsupported("what")),
    };
    let looks_back = [What::Errors, What::Scale, What::Series].iter().any(|noun| *noun as i32 == what);
    let has_steps = what == What::Series as i32;
    unset(&[("window_ms", window_ms > 0 && !looks_back), ("step_ms", step_ms > 0 && !has_steps)])?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit > ROWS_MAX {
        return Err(invalid("limit", format!("a page has at most {ROWS_MAX} rows")));
    }
    let select = selection::selection(select, rules.now_ms)?;
    read(Page { select, limit, cursor, newest_first, name, fields, window_ms, step_ms })
}

fn job(page: Page) -> Checked<Query> {
    one_id(page).map(Query::Job)
}

fn explain(page: Page) -> Checked<Query> {
    one_id(page).map(Query::Explain)
}

/// Which log is said as for a single job.
fn logs(page: Page) -> Checked<Query> {
    unset(&[("newest_first", page.newest_first)])?;
    let (limit, cursor) = (page.limit, page.cursor.clone());
    let id = one_id(Page { cursor: Bytes::new(), ..page })?;
    Ok(Query::Logs { id, after: cursor::log(&cursor)?.unwrap_or_default(), limit })
}

fn one_id(page: Page) -> Checked<JobId> {
    let Page { select, cursor, name, fields, .. } = page;
    unset(&[("name", !name.is_empty()), ("cursor", !cursor.is_empty()), ("fields", !fields.is_empty())])?;
    select.only(&["ids"])?;
    match select.select.ids.as_deref() {
        None | Some([]) => Err(invalid("select.ids", "name one job by its id")),
        Some([id]) => Ok(*id),
        Some([..]) => Err(unsupported("select.ids")),
    }
}

fn jobs(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, .. } = page;
    unset(&[("name", !name.is_empty())])?;
    if select.is_empty() {
        return Err(invalid("select", "say which jobs, or set `all`"));
    }
    let after = cursor::seq(&cursor)?;
    let fields = self::fields(&fields)?;
    Ok(Query::Jobs(JobsQuery { select: select.select, fields, after, limit, newest_first }))
}

/// Fields of variable size that a page shows.
fn fields(names: &[String]) -> Checked<Fields> {
    let mut fields = Fields::NONE;
    for (index, name) in names.iter().enumerate() {
        let field = match name.as_str() {
            "payload" => &mut fields.payload,
            "headers" => &mut fields.headers,
            "result" => &mut fields.result,
            "history" => &mut fields.history,
            _ => {
                let message = format!("{name:?} is none of payload, headers, result, history");
                return Err(at("fields", index, invalid("", message)));
            }
        };
        *field = true;
    }
    Ok(fields)
}

fn queues(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, .. } = page;
    unset(&[("newest_first", newest_first), ("fields", !fields.is_empty())])?;
    select.only(&["queue", "all"])?;
    let name = one_name(name, select.select.queue, "select.queue")?;
    let after = cursor::name(&cursor)?.unwrap_or_default();
    Ok(Query::Queues { name, after, limit })
}

fn limits(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, .. } = page;
    unset(&[("newest_first", newest_first), ("fields", !fields.is_empty())])?;
    select.only(&["all"])?;
    let (name, after) = (optional_name(name, "name")?, cursor::name(&cursor)?.unwrap_or_default());
    Ok(Query::Limits { name, after, limit })
}

fn schedules(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, .. } = page;
    unset(&[("newest_first", newest_first), ("fields", !fields.is_empty())])?;
    select.only(&["all"])?;
    let (name, after) = (optional_name(name, "name")?, cursor::name(&cursor)?.unwrap_or_default());
    Ok(Query::Schedules { name, after, limit })
}

fn kinds(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, .. } = page;
    unset(&[("newest_first", newest_first), ("fields", !fields.is_empty())])?;
    select.only(&["kind", "all"])?;
    let name = one_name(name, select.kind, "select.kind")?;
    let after = cursor::name(&cursor)?.unwrap_or_default();
    Ok(Query::Kinds { name, after, limit })
}

fn scale(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, window_ms, .. } = page;
    unset(&[("newest_first", newest_first), ("fields", !fields.is_empty())])?;
    select.only(&["queue", "all"])?;
    let name = one_name(name, select.select.queue, "select.queue")?;
    let after = cursor::name(&cursor)?.unwrap_or_default();
    let window_ms = if window_ms == 0 { SERIES_WINDOW_MS_DEFAULT } else { window_ms };
    Ok(Query::Scale { name, window_ms, after, limit })
}

fn series(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, window_ms, step_ms } = page;
    unset(&[("newest_first", newest_first), ("fields", !fields.is_empty())])?;
    select.only(&["queue", "all"])?;
    let window_ms = if window_ms == 0 { SERIES_WINDOW_MS_DEFAULT } else { window_ms };
    let step_ms = if step_ms == 0 { SERIES_STEP_MS_DEFAULT } else { step_ms };
    if step_ms < SERIES_STEP_MS_MIN {
        return Err(invalid("step_ms", format!("a step is at least {SERIES_STEP_MS_MIN} ms")));
    }
    if window_ms.div_ceil(step_ms) > SERIES_VALUES_MAX {
        let message = format!("a course has at most {SERIES_VALUES_MAX} values; ask for longer steps");
        return Err(invalid("window_ms", message));
    }
    let metric = Metric::of(&name);
    if !name.is_empty() && metric.is_none() {
        let known = Metric::ALL.map(Metric::name).join(", ");
        return Err(invalid("name", format!("{name:?} is none of {known}")));
    }
    let queue = select.select.queue.clone();
    let after = cursor::name(&cursor)?.unwrap_or_default();
    let metrics = metric.into_iter().collect();
    let each = queue.is_empty() && !select.is_empty();
    Ok(Query::Series(SeriesQuery { metrics, queue, each, window_ms, step_ms, after, limit }))
}

/// The one noun that `name` or the selector names; "" = all.
fn one_name(name: String, selected: String, field: &'static str) -> Checked<String> {
    let name = optional_name(name, "name")?;
    match (name.is_empty(), selected.is_empty()) {
        (_, true) => Ok(name),
        (true, false) => Ok(selected),
        (false, false) if name == selected => Ok(name),
        (false, false) => Err(invalid("name", format!("name and {field} differ"))),
    }
}

fn sessions(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, .. } = page;
    unset(&[("name", !name.is_empty()), ("newest_first", newest_first), ("fields", !fields.is_empty())])?;
    select.only(&["all"])?;
    Ok(Query::Sessions { after: cursor::session(&cursor)?, limit })
}

/// The most frequent errors stand on the one page there is.
fn errors(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, window_ms, .. } = page;
    unset(&[
        ("name", !name.is_empty()),
        ("newest_first", newest_first),
        ("fields", !fields.is_empty()),
        ("cursor", !cursor.is_empty()),
    ])?;
    select.only(&["queue", "kind", "all"])?;
    let window_ms = if window_ms == 0 { ERRORS_WINDOW_MS_DEFAULT } else { window_ms };
    Ok(Query::Errors { queue: select.select.queue, kind: select.kind, window_ms, limit })
}

fn config(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, .. } = page;
    unset(&[("newest_first", newest_first), ("fields", !fields.is_empty())])?;
    select.only(&["all"])?;
    let name = optional_name(name, "name")?;
    let after = cursor::name(&cursor)?.unwrap_or_default();
    Ok(Query::Config { name, after, limit })
}

fn operations(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, .. } = page;
    unset(&[("name", !name.is_empty()), ("newest_first", newest_first), ("fields", !fields.is_empty())])?;
    select.only(&["all"])?;
    Ok(Query::Operations { after: cursor::operation(&cursor)?, limit })
}

fn audit(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name, fields, .. } = page;
    unset(&[("name", !name.is_empty()), ("fields", !fields.is_empty())])?;
    select.only(&["all"])?;
    Ok(Query::Audit { after: cursor::seq(&cursor)?, limit, newest_first })
}

fn export(page: Page) -> Checked<Query> {
    let Page { select, cursor, newest_first, name, fields, .. } = page;
    unset(&[("name", !name.is_empty()), ("newest_first", newest_first), ("fields", !fields.is_empty())])?;
    select.only(&["all"])?;
    Ok(Query::Export { after: cursor::seq(&cursor)? })
}

fn server(page: Page) -> Checked<Query> {
    let Page { select, cursor, name, fields, .. } = page;
    unset(&[("name", !name.is_empty()), ("cursor", !cursor.is_empty()), ("fields", !fields.is_empty())])?;
    select.only(&["all"])?;
    Ok(Query::Server)
}
