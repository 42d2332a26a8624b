//! What an input adds to its events: the fields of the stream, and `type`, `add_field`, `tags`.

use crate::event::{Batch, EventId, Kind, Path, Value};
use crate::plan::Decoration;
use crate::plugin::{Attr, Attrs};

/// Adds the fields of a stream to its events, where they have none.
///
/// Fields below one top-level name are written once per run as one object, which all events of the run share.
pub fn add_stream_fields(batch: &mut Batch, ids: &[EventId], attrs: &Attrs, buf: &mut Vec<u8>) {
    let mut at = 0;
    while at < attrs.fields.len() {
        let root = attrs.fields[at].path.top();
        let group_len = attrs.fields[at..]
            .iter()
            .take_while(|attr| attr.path.top() == root)
            .count();
        let group = &attrs.fields[at..at + group_len];
        at += group_len;
        let offset = attrs
            .offset_field
            .as_ref()
            .filter(|path| path.top() == root && path.depth() == 1);
        add_group(batch, ids, group, offset, buf);
    }
    if let Some(path) = &attrs.offset_field {
        let grouped = path.depth() == 1
            && attrs
                .fields
                .iter()
                .any(|attr| attr.path.top() == path.top());
        if !grouped {
            for &id in ids {
                add_offset(batch, id, path);
            }
        }
    }
}

fn add_offset(batch: &mut Batch, id: EventId, path: &Path) {
    if !batch.contains(id, path) {
        let offset = batch.push_int(i64::try_from(batch.position_of(id)).unwrap_or(i64::MAX));
        // A scalar of the document stands in the way: the document's own field wins.
        let _ = batch.set(id, path, offset);
    }
}

fn add_group(
    batch: &mut Batch,
    ids: &[EventId],
    group: &[Attr],
    offset: Option<&Path>,
    buf: &mut Vec<u8>,
) {
    let values: Vec<Value> = group.iter().map(|attr| push(batch, attr)).collect();
    let nested = group.iter().all(|attr| attr.path.depth() > 0);
    let slot = group.first().and_then(|attr| attr.path.top_slot());
    let (Some(slot), true) = (slot, nested) else {
        for &id in ids {
            add_each(batch, id, group, &values);
        }
        return;
    };
    buf.clear();
    write_object(batch, group, &values, buf);
    let whole = if offset.is_none() {
        Some(batch.push_json(Kind::RawObject, buf))
    } else {
        None
    };
    buf.pop();
    let prefix_len = buf.len();
    for &id in ids {
        if !batch.get_slot(id, slot).is_absent() {
            add_each(batch, id, group, &values);
            if let Some(path) = offset {
                add_offset(batch, id, path);
            }
            continue;
        }
        if let Some(whole) = whole {
            batch.set_slot(id, slot, whole);
        } else if let Some(path) = offset {
            buf.truncate(prefix_len);
            buf.extend_from_slice(b",\"");
            crate::event::text::escape_into(path.last_key(), buf);
            buf.extend_from_slice(b"\":");
            write_number(batch.position_of(id), buf);
            buf.push(b'}');
            let object = batch.push_json(Kind::RawObject, buf);
            batch.set_slot(id, slot, object);
        }
    }
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn push(batch: &mut Batch, attr: &Attr) -> Value {
    match attr.kind {
        Kind::RawObject | Kind::RawArray => batch.push_json(attr.kind, &attr.text),
        Kind::Int | Kind::Float => batch.push_number(attr.kind, &attr.text),
        _ => batch.push(&attr.text),
    }
}

fn add_each(batch: &mut Batch, id: EventId, group: &[Attr], values: &[Value]) {
    for (attr, value) in group.iter().zip(values) {
        if !batch.contains(id, &attr.path) {
            // As above: what the document says stays.
            let _ = batch.set(id, &attr.path, *value);
        }
    }
}

/// Writes the group as nested JSON; the paths of one group share their root.
fn write_object(batch: &Batch, group: &[Attr], values: &[Value], out: &mut Vec<u8>) {
    let members: Vec<(Vec<&[u8]>, Value)> = group
        .iter()
        .zip(values)
        .map(|(attr, value)| (attr.path.keys_below().collect(), *value))
        .collect();
    write_members(batch, &members, 0, out);
}

fn write_members(batch: &Batch, members: &[(Vec<&[u8]>, Value)], depth: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut at = 0;
    while at < members.len() {
        let key = members[at].0[depth];
        let len = members[at..]
            .iter()
            .take_while(|(keys, _)| keys[depth] == key)
            .count();
        if at > 0 {
            out.push(b',');
        }
        out.push(b'"');
        crate::event::text::escape_into(key, out);
        out.extend_from_slice(b"\":");
        if members[at].0.len() == depth + 1 {
            batch.write_json(members[at].1, out);
        } else {
            write_members(batch, &members[at..at + len], depth + 1, out);
        }
        at += len;
    }
    out.push(b'}');
}

/// `type` (where there is none), `add_field`, `tags`.
pub fn add_input_options(
    batch: &mut Batch,
    ids: &[EventId],
    decoration: &Decoration,
    buf: &mut Vec<u8>,
) {
    if let (Some(kind), Some(path)) = (&decoration.kind, &decoration.kind_path) {
        for &id in ids {
            if batch.contains(id, path) {
                continue;
            }
            let value = kind.constant().unwrap_or_else(|| {
                buf.clear();
                kind.render(batch, id, buf);
                batch.push(buf)
            });
            // `type` is a plain top-level field: setting it cannot fail.
            let _ = batch.set(id, path, value);
        }
    }
    if !decoration.common.is_empty() {
        for &id in ids {
            decoration.common.apply(batch, id, buf);
        }
    }
}
