//! The filter language, in the request that carries it.

use std::sync::{Arc, LazyLock};
use windlass_broker::session::{Session, Terms};
use windlass_broker::tokens::Speaker;
use windlass_proto::frame::Inbound;
use windlass_proto::v1::client_frame::Request;
use windlass_proto::v1::query::What;
use windlass_proto::v1::{ClientFrame, Query, Selector};

const NOW_MS: u64 = 1_800_000_000_000;

/// A filter as text: it is understood, or refused with what is wrong with it.
pub fn filter(data: &[u8]) {
    static TERMS: LazyLock<Arc<Terms>> = LazyLock::new(|| Arc::new(Terms::new([7; 32])));
    let Ok(text) = std::str::from_utf8(data) else { return };
    let select = Selector { filter: text.to_owned(), ..Selector::default() };
    let query = Query { what: What::Jobs.into(), select: Some(select), ..Query::default() };
    let frame = ClientFrame { id: 1, request: Some(Request::Query(query)) };
    if let Err(error) = Session::check(&TERMS, Speaker::Broker, Inbound::of(frame, 1 << 20), NOW_MS) {
        assert!(!error.message.is_empty(), "a refusal says why");
        assert!(error.message.len() < 4_000 + 4 * data.len(), "a refusal is short");
    }
}
