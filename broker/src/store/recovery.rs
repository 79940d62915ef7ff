//! Recovery, which is the normal start: leaves first, then the journal from where they end.

use super::StoreError;
use super::fold::Fold;
use super::keys;
use super::parts::Parts;
use super::record::{self, Meta, Row, Sum};
use super::seam::{Journal, ReadLeaves, Recovered};
use crate::failpoint;
use windlass_engine::Engine;

/// What recovery found.
#[derive(Debug)]
pub struct Loaded {
    /// The store's own record.
    pub meta: Meta,
    /// The last batch decided before this start.
    pub last_batch: u64,
    /// Facts replayed.
    pub facts: u64,
}

/// Fills an empty engine and its parts from the leaves and the journal.
///
/// # Errors
/// On damage, and when leaves and journal do not belong together; nothing was changed then.
pub fn load<J: Journal>(
    journal: &mut J,
    recovered: Recovered,
    leaves: &dyn ReadLeaves,
    engine: &mut Engine,
    parts: &mut Parts,
    fold: &mut Fold,
) -> Result<Loaded, StoreError> {
    let meta = load_meta(leaves)?;
    if meta.to > recovered.last_batch {
        return Err(StoreError::Mismatch {
            what: format!(
                "the leaves know batch {}, the journal ends at batch {}",
                meta.to, recovered.last_batch
            ),
        });
    }
    if meta.replay_from < recovered.first_batch {
        return Err(StoreError::Mismatch {
            what: format!(
                "the journal begins at batch {}, but batches from {} on are not yet in the leaves",
                recovered.first_batch, meta.replay_from
            ),
        });
    }
    engine.load_meta(meta.to, meta.epoch, meta.seq_next, meta.stopped);
    load_rows(leaves, &meta, engine)?;
    fold.adopt(load_leaves(leaves, &meta, engine)?);
    let mut facts = 0;
    failpoint::reach("before_replay");
    journal.replay(recovered.first_batch, &mut |read| {
        if windlass_engine::planted!(ReplayShort) && read.batch == recovered.last_batch {
            return Ok(());
        }
        failpoint::reach("during_replay");
        let decoded = record::decode_facts(read.format, read.body)
            .map_err(|error| error.at(&format!("batch {} of the journal", read.batch)))?;
        for fact in &decoded {
            if read.batch < meta.replay_from {
                engine.remember(fact);
                continue;
            }
            facts += 1;
            let applied = engine
                .replay(read.batch, fact)
                .map_err(|error| StoreError::Mismatch { what: error.to_string() })?;
            // A part of a fact that the leaves already hold may still have to be folded again: the
            // crash may have come between its slice and the end of the fold.
            if applied == windlass_engine::ledger::Applied::Yes {
                parts.follow(fact);
                parts.shed();
            }
            fold.follow(fact);
        }
        Ok(())
    })?;
    Ok(Loaded { meta, last_batch: recovered.last_batch, facts })
}

/// The store's own record.
///
/// # Errors
/// When it cannot be read.
pub fn load_meta(leaves: &dyn ReadLeaves) -> Result<Meta, StoreError> {
    match leaves.read(keys::META)? {
        Some(bytes) => record::decode_meta(&bytes).map_err(|error| error.at("the store's Meta record")),
        None => Ok(Meta { replay_from: 1, seq_next: 1, stopped: true, ..Meta::default() }),
    }
}

fn load_rows(leaves: &dyn ReadLeaves, meta: &Meta, engine: &mut Engine) -> Result<(), StoreError> {
    let mut sum = Sum::default();
    leaves.scan(keys::ROWS, &mut |key, value| {
        sum.add(key, value);
        match record::decode_row(value).map_err(|error| error.at("a table row"))? {
            Row::Name(id, since, name) => engine.load_name(id, since, name),
            Row::Session(id, row) => engine.load_session(id, row),
            Row::Resource(key, row) => engine.load_resource(key, row),
            Row::Totals(queue, row) => engine.load_totals(queue, row),
            Row::Failures(error, row) => engine.load_failures(error, row),
            Row::Audit(number, row) => engine.load_audit(number, row),
            Row::Operation(id, row) => engine.load_operation(id, row),
            Row::Claim(holder, row) => engine.load_claim(holder, row),
            Row::After(waiter, piece, row) => engine.load_after(waiter, piece, row),
            Row::Group(group, row) => engine.load_group(group, row),
            Row::Fallout(of, row) => engine.load_fallout(of, row),
            Row::Schedule(id, row) => engine.load_schedule(id, row),
        }
        Ok(())
    })?;
    add_up("the table rows", sum, meta.rows)
}

fn load_leaves(leaves: &dyn ReadLeaves, meta: &Meta, engine: &mut Engine) -> Result<Vec<u64>, StoreError> {
    let (mut found, mut sum) = (Vec::new(), Sum::default());
    leaves.scan(keys::LEAVES, &mut |key, value| {
        let leaf = keys::read_leaf(key)
            .ok_or_else(|| StoreError::Mismatch { what: format!("a leaf has the key {key:02x?}") })?;
        sum.add(key, value);
        found.push(leaf);
        for job in record::decode_leaf(value).map_err(|error| error.at(&format!("leaf {leaf}")))? {
            engine.load_job(job);
        }
        Ok(())
    })?;
    add_up("the leaves", sum, meta.leaves)?;
    Ok(found)
}

/// Reads every block and chunk of parts, as every start does with heads and rows. Of what is lost
/// here a job that is never read would not tell.
///
/// # Errors
/// When they are not those that Meta counted.
pub fn verify_parts(leaves: &dyn ReadLeaves, meta: &Meta) -> Result<(), StoreError> {
    let mut sum = Sum::default();
    leaves.scan(keys::PARTS, &mut |key, value| {
        sum.add(key, value);
        Ok(())
    })?;
    add_up("the parts of jobs", sum, meta.parts)
}

fn add_up(what: &str, found: Sum, told: Sum) -> Result<(), StoreError> {
    if found == told {
        return Ok(());
    }
    let what = format!("{what} do not add up: {found} were found, Meta says {told}");
    Err(StoreError::Mismatch { what })
}
