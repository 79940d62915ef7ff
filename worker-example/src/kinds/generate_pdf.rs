//! `generate_pdf {title, lines: [..], output?}`: lines of text on A4 pages, into `pdf/`.
//!
//! The font is Courier: every PDF reader has it, so nothing is embedded, and all its letters are equally
//! wide, so lines are broken by counting.

use crate::files;
use crate::run::{HandlerError, Run};
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

#[derive(Deserialize)]
struct Document {
    title: String,
    lines: Vec<String>,
    /// Relative to `pdf/`; default: the job's id and `.pdf`.
    output: Option<String>,
}

/// Writes the document; the same payload always gives the same bytes.
///
/// # Errors
/// Permanent for a bad output path or a text without end; to be retried when the file cannot be written.
pub fn generate_pdf(run: &Run, out: &Path) -> Result<Value, HandlerError> {
    let document: Document = run.payload()?;
    let name = document.output.unwrap_or_else(|| format!("{}.pdf", run.id));
    let output = files::place(&out.join("pdf"), &name)?;

    let text = document.lines.join("\n");
    let rows: Vec<_> = text.split('\n').flat_map(wrap).collect();
    let pages: Vec<_> = rows.chunks(ROWS_PER_PAGE).collect();
    if pages.len() > PAGES_MAX {
        return Err(HandlerError::permanent(format!("the text fills more than {PAGES_MAX} pages")));
    }
    let bytes = compose(&document.title, &pages);
    files::write(&output, &out.join("tmp"), &bytes)?;
    Ok(json!({ "file": format!("pdf/{name}"), "pages": pages.len(), "bytes": bytes.len() }))
}

fn compose(title: &str, pages: &[&[Vec<u8>]]) -> Vec<u8> {
    let mut ids = (1..).map(Ref::new);
    let mut next = || ids.next().expect("documents of PAGES_MAX pages have few objects");
    let (catalog, tree, info, regular, bold) = (next(), next(), next(), next(), next());
    let numbered: Vec<_> = pages.iter().map(|rows| (next(), next(), rows)).collect();

    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree);
    pdf.document_info(info).title(TextStr(title)).producer(TextStr("Windlass worker-example"));
    let count = i32::try_from(pages.len()).expect("at most PAGES_MAX");
    pdf.pages(tree).kids(numbered.iter().map(|(page, ..)| *page)).count(count);
    for (id, font) in [(regular, Name(b"Courier")), (bold, Name(b"Courier-Bold"))] {
        pdf.type1_font(id).base_font(font).encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    for (index, (id, text, rows)) in numbered.into_iter().enumerate() {
        let mut page = pdf.page(id);
        page.parent(tree).media_box(Rect::new(0.0, 0.0, 595.0, 842.0)).contents(text);
        page.resources().fonts().pair(REGULAR, regular).pair(BOLD, bold);
        page.finish();
        let footer = format!("page {} of {count}", index + 1);
        pdf.stream(text, &draw(title, rows, &footer));
    }
    pdf.finish()
}

/// What stands on a page: the title on top, the rows, and a line at the foot.
fn draw(title: &str, rows: &[Vec<u8>], footer: &str) -> Vec<u8> {
    let mut page = Content::new();
    let title = wrap(title).swap_remove(0);
    page.begin_text().set_font(BOLD, 10.0).next_line(57.0, 780.0).show(Str(&title)).end_text();
    page.begin_text().set_font(REGULAR, 10.0).set_leading(14.0).next_line(57.0, 752.0);
    for row in rows {
        page.show(Str(row)).next_line_using_leading();
    }
    page.end_text();
    page.begin_text().set_font(REGULAR, 8.0).next_line(57.0, 40.0).show(Str(footer.as_bytes())).end_text();
    page.finish().to_vec()
}

/// Breaks a line into rows of the page, at a space where there is one.
fn wrap(line: &str) -> Vec<Vec<u8>> {
    let letters: Vec<u8> = line.chars().map(letter).collect();
    let (mut rows, mut rest) = (Vec::new(), &letters[..]);
    while rest.len() > COLUMNS {
        let space = rest[..=COLUMNS].iter().rposition(|letter| *letter == b' ');
        let (row, after) = rest.split_at(space.filter(|at| *at > 0).unwrap_or(COLUMNS));
        rows.push(row.to_vec());
        rest = after.trim_ascii_start();
    }
    rows.push(rest.to_vec());
    rows
}

/// A character in WinAnsiEncoding, the letters that the built-in fonts have: Western Europe's.
fn letter(character: char) -> u8 {
    match character {
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(character).unwrap_or(b'?'),
        '\t' | '\r' => b' ',
        '€' => 0x80,
        '…' => 0x85,
        '‘' => 0x91,
        '’' => 0x92,
        '“' => 0x93,
        '”' => 0x94,
        '•' => 0x95,
        '–' => 0x96,
        '—' => 0x97,
        _ => b'?',
    }
}

const REGULAR: Name<'_> = Name(b"F1");
const BOLD: Name<'_> = Name(b"F2");
/// A4 less its margins is 481 points wide, a letter of 10 points is 6 wide.
const COLUMNS: usize = 80;
const ROWS_PER_PAGE: usize = 48;
const PAGES_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn generate(payload: Value) -> (Value, Vec<u8>) {
        let out = tempfile::tempdir().unwrap();
        let result = generate_pdf(&Run::sample("generate_pdf", payload), out.path()).unwrap();
        let bytes = fs::read(out.path().join(result["file"].as_str().unwrap())).unwrap();
        (result, bytes)
    }

    fn holds(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn a_document_is_a_whole_pdf_with_the_text_on_its_page() {
        let (result, bytes) =
            generate(json!({ "title": "Invoice 7", "lines": ["Net (of tax)", "Total: 3 €"] }));
        assert!(bytes.starts_with(b"%PDF-1."));
        assert!(bytes.trim_ascii_end().ends_with(b"%%EOF"));
        for part in [
            &b"/Title (Invoice 7)"[..],
            b"(Net (of tax)) Tj",
            b"<546F74616C3A20332080> Tj",
            b"(page 1 of 1) Tj",
        ] {
            assert!(holds(&bytes, part), "{}", String::from_utf8_lossy(part));
        }
        assert_eq!(result["file"], "pdf/0190b5a0-0000-7000-8000-000000000001.pdf");
        assert_eq!(result["bytes"], bytes.len());

        let xref = bytes.windows(10).rposition(|window| window == b"startxref\n").unwrap();
        let number = String::from_utf8_lossy(&bytes[xref + 10..]).lines().next().unwrap().to_owned();
        assert!(
            bytes[number.parse::<usize>().unwrap()..].starts_with(b"xref"),
            "the trailer points to the table"
        );
    }

    #[test]
    fn long_texts_run_over_several_pages() {
        let lines: Vec<_> = (0..100).map(|n| format!("line {n}")).collect();
        let (result, bytes) = generate(json!({ "title": "Long", "lines": lines, "output": "long.pdf" }));
        assert_eq!((&result["pages"], &result["file"]), (&json!(3), &json!("pdf/long.pdf")));
        assert!(holds(&bytes, b"(line 99) Tj") && holds(&bytes, b"(page 3 of 3) Tj"));
        let (result, _) = generate(json!({ "title": "", "lines": [] }));
        assert_eq!(result["pages"], 1);
    }

    #[test]
    fn lines_break_at_spaces_and_letters_nobody_has_become_question_marks() {
        let rows = wrap(&format!("{} {}", "a".repeat(70), "b".repeat(100)));
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [70, 80, 20]);
        assert_eq!(wrap("Grüße, 世界"), [b"Gr\xfc\xdfe, ??".to_vec()]);
        assert_eq!(wrap(""), [b"".to_vec()]);
    }

    #[test]
    fn bad_paths_and_endless_texts_fail_for_good() {
        let out = tempfile::tempdir().unwrap();
        let endless = vec![""; ROWS_PER_PAGE * PAGES_MAX + 1];
        for payload in [
            json!({ "title": "", "lines": [], "output": "../a.pdf" }),
            json!({ "title": "", "lines": [], "output": "/a.pdf" }),
            json!({ "title": "", "lines": endless }),
        ] {
            assert!(
                generate_pdf(&Run::sample("generate_pdf", payload), out.path()).unwrap_err().is_permanent()
            );
        }
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    }
}
