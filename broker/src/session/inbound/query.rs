//! Query: which noun, which rows, which page.

use super::selection::{self, Selection};
use crate::session::cursor;
use crate::session::form::{Checked, invalid, known, optional_name, unset, unsupported};
use bytes::Bytes;
use windlass_engine::command::{JobsQuery, Query};
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
}

/// Checks a Query.
pub(super) fn query(query: v1::Query) -> Checked<Query> {
    let v1::Query { select, limit, cursor, fields, newest_first, what, name, window_ms, step_ms } = query;
    let read = match known(what, "what")? {
        What::Unspecified => return Err(invalid("what", "a Query says what is read")),
        What::Job => job,
        What::Jobs => jobs,
        What::Queues => queues,
        What::Sessions => sessions,
        What::Server => server,
        What::Explain
        | What::Errors
        | What::Keys
        | What::Kinds
        | What::Limits
        | What::Schedules
        | What::Series
        | What::Scale
        | What::Config
        | What::Export
        | What::Audit
        | What::Operations
        | What::Logs
        | What::Tokens => return Err(unsupported("what")),
    };
    unset(&[("fields", !fields.is_empty()), ("window_ms", window_ms > 0), ("step_ms", step_ms > 0)])?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if limit > ROWS_MAX {
        return Err(invalid("limit", format!("a page has at most {ROWS_MAX} rows")));
    }
    let select = selection::selection(select)?;
    read(Page { select, limit, cursor, newest_first, name })
}

fn job(page: Page) -> Checked<Query> {
    let Page { select, limit: _, cursor, newest_first: _, name } = page;
    unset(&[("name", !name.is_empty()), ("cursor", !cursor.is_empty())])?;
    select.only_ids()?;
    match select.ids[..] {
        [] => Err(invalid("select.ids", "JOB names one job by its id")),
        [id] => Ok(Query::Job(id)),
        [..] => Err(unsupported("select.ids")),
    }
}

fn jobs(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name } = page;
    unset(&[("name", !name.is_empty()), ("select.ids", !select.ids.is_empty())])?;
    if select.is_empty() {
        return Err(invalid("select", "give a queue, kind, key or states, or set `all`"));
    }
    let after = cursor::seq(&cursor)?;
    let Selection { ids: _, queue, kind, key, states, all: _ } = select;
    Ok(Query::Jobs(JobsQuery { queue, kind, key, states, after, limit, newest_first }))
}

fn queues(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name } = page;
    unset(&[("newest_first", newest_first)])?;
    select.only_queue()?;
    let name = optional_name(name, "name")?;
    let name = match (name.is_empty(), select.queue.is_empty()) {
        (_, true) => name,
        (true, false) => select.queue,
        (false, false) if name == select.queue => name,
        (false, false) => return Err(invalid("name", "name and select.queue differ")),
    };
    let after = cursor::name(&cursor)?.unwrap_or_default();
    Ok(Query::Queues { name, after, limit })
}

fn sessions(page: Page) -> Checked<Query> {
    let Page { select, limit, cursor, newest_first, name } = page;
    unset(&[
        ("name", !name.is_empty()),
        ("newest_first", newest_first),
        ("select.queue", !select.queue.is_empty()),
    ])?;
    select.only_queue()?;
    Ok(Query::Sessions { after: cursor::session(&cursor)?, limit })
}

fn server(page: Page) -> Checked<Query> {
    let Page { select, limit: _, cursor, newest_first: _, name } = page;
    unset(&[
        ("name", !name.is_empty()),
        ("cursor", !cursor.is_empty()),
        ("select.queue", !select.queue.is_empty()),
    ])?;
    select.only_queue()?;
    Ok(Query::Server)
}
