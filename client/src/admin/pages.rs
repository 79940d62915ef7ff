//! Jobs in pages: a page for a screen, or one job after the other for a loop.

use std::collections::VecDeque;

use bytes::Bytes;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{JobView, Query, Selector};

use super::Admin;
use crate::error::Result;

/// Jobs that match a selector; made by [`Admin::jobs`].
#[derive(Debug, Clone)]
#[must_use = "nothing is read until a page or the next job is asked for"]
pub struct Jobs {
    admin: Admin,
    query: Query,
    fetched: VecDeque<JobView>,
    at_end: bool,
}

/// One page of jobs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Page {
    /// The jobs, in the order asked for.
    pub jobs: Vec<JobView>,
    /// For [`Jobs::from_cursor`]; empty: this was the last page.
    pub cursor: Bytes,
    /// Jobs that match, on this page and others; 0 where counting them is not worth it.
    pub total: u64,
    /// `total` is exact; false: at least that many.
    pub total_exact: bool,
}

impl Jobs {
    pub(super) fn new(admin: Admin, select: Selector) -> Self {
        let query = Query { what: What::Jobs.into(), select: Some(select), ..Query::default() };
        Self { admin, query, fetched: VecDeque::new(), at_end: false }
    }

    /// Most jobs of one page, 1 to 1,000; default 100.
    pub fn page_size(mut self, jobs: u32) -> Self {
        self.query.limit = jobs;
        self
    }

    /// The last job first; default the first one.
    pub fn newest_first(mut self) -> Self {
        self.query.newest_first = true;
        self
    }

    /// Fields of variable size to fill: `payload`, `headers`, `result`, `history`; default none.
    pub fn fields<F: Into<String>>(mut self, fields: impl IntoIterator<Item = F>) -> Self {
        self.query.fields = fields.into_iter().map(Into::into).collect();
        self
    }

    /// Goes on behind the page that gave this cursor.
    pub fn from_cursor(mut self, cursor: Bytes) -> Self {
        self.query.cursor = cursor;
        self
    }

    /// The next page; the first time the first one. After the last page they start again.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn page(&mut self) -> Result<Page> {
        let rows = self.admin.query(self.query.clone()).await?;
        self.query.cursor = rows.cursor.clone();
        Ok(Page { jobs: rows.jobs, cursor: rows.cursor, total: rows.total, total_exact: rows.total_exact })
    }

    /// The next job; `None` after the last. Pages are fetched as they are needed.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn next(&mut self) -> Result<Option<JobView>> {
        while self.fetched.is_empty() && !self.at_end {
            let page = self.page().await?;
            self.at_end = page.cursor.is_empty();
            self.fetched = page.jobs.into();
        }
        Ok(self.fetched.pop_front())
    }
}
