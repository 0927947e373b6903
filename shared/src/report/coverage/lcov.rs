//! LCOV tracefiles (`man geninfo`, "TRACEFILE FORMAT"), as Istanbul, V8, coverage.py, cargo-llvm-cov and lcov write them.
//!
//! Lines (`DA`) and functions (`FN` with `FNDA`, or `FNL` with `FNA` since lcov 2.2) are counted one by one; the sums of a
//! record (`LF`, `LH`, `FNF`, `FNH`) are only held against them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read},
};

use super::{Coverage, Covered};
use crate::report::{NotAReport, Stop, recount::push_problem, shown};

/// The longest line in bytes: the names of C++ functions may be long.
const MAX_LINE: usize = 64 * 1024;

/// The most bytes of a record, which is kept while it is read: some 500,000 lines.
const MAX_RECORD: usize = 8 * 1024 * 1024;

/// Reads a tracefile.
pub(in crate::report) fn read(reader: impl Read) -> Result<Coverage, Stop> {
    let mut reader = BufReader::with_capacity(64 * 1024, reader);
    let (mut tracefile, mut bytes, mut number) = (Tracefile::default(), Vec::new(), 0);
    loop {
        bytes.clear();
        (&mut reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        number += 1;
        if bytes.len() > MAX_LINE {
            return Err(NotAReport::at(number, format!("longer than {MAX_LINE} bytes")).into());
        }
        // Paths and names may be in any encoding; the figures are ASCII.
        let line = String::from_utf8_lossy(&bytes);
        tracefile.line(line.trim_end()).map_err(|why| NotAReport::at(number, why))?;
    }
    if tracefile.record.is_some() {
        return Err(NotAReport::at(number, "no `end_of_record`: the file is cut off").into());
    }
    if tracefile.files.is_empty() {
        return Err(NotAReport::new("it holds no record").into());
    }
    Ok(tracefile.coverage)
}

#[derive(Default)]
struct Tracefile {
    coverage: Coverage,
    files: BTreeSet<String>,
    record: Option<Record>,
}

/// What a record shows and says of itself.
#[derive(Default)]
struct Record {
    file: String,
    bytes: usize,
    lines: BTreeMap<u64, bool>,
    functions: BTreeMap<String, bool>,
    sums: BTreeMap<&'static str, u64>,
}

/// The sums that a record may have.
const SUMS: [&str; 4] = ["LF", "LH", "FNF", "FNH"];

impl Tracefile {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line == "end_of_record" {
            let record = self.record.take().ok_or("`end_of_record` ends no record")?;
            return self.close(record);
        }
        let Some((keyword, value)) = line.split_once(':') else {
            // Comments, and blank lines between the tracefiles of one.
            return if line.is_empty() || line.starts_with('#') {
                Ok(())
            } else {
                Err(format!("`{}` is no line of a tracefile", shown(line)))
            };
        };
        if line.starts_with('#') {
            return Ok(());
        }
        if keyword == "SF" {
            let before = self.record.replace(Record { file: value.to_owned(), ..Record::default() });
            return match before {
                Some(record) => Err(format!("the record of `{}` has no end", shown(&record.file))),
                None => Ok(()),
            };
        }
        match &mut self.record {
            Some(record) => {
                record.bytes += line.len();
                if record.bytes > MAX_RECORD {
                    return Err(format!("the record of `{}` is longer than {MAX_RECORD} bytes", shown(&record.file)));
                }
                record.line(keyword, value).ok_or_else(|| format!("`{}` has no figures", shown(line)))
            }
            None if keyword == "TN" => Ok(()),
            None => Err(format!("`{}` stands in no record", shown(line))),
        }
    }

    fn close(&mut self, record: Record) -> Result<(), String> {
        let count = |items: &mut dyn Iterator<Item = &bool>| {
            let mut covered = Covered::default();
            items.for_each(|has_run| covered.one(*has_run));
            covered
        };
        let lines = count(&mut record.lines.values());
        let functions = count(&mut record.functions.values());
        let file = shown(&record.file);
        for (sum, seen) in SUMS.iter().zip([lines.total, lines.covered, functions.total, functions.covered]) {
            if let Some(said) = record.sums.get(sum).filter(|said| **said != seen) {
                let problem = format!("`{sum}` of `{file}` is {said}, its lines show {seen}");
                push_problem(&mut self.coverage.problems, problem);
            }
        }
        self.coverage.lines.add(lines);
        self.coverage.functions.add(functions);
        if self.files.insert(record.file) {
            Ok(())
        } else {
            Err(format!("`{file}` has two records: merge them, such as by `lcov --add-tracefile`"))
        }
    }
}

impl Record {
    /// None where the line lacks its figures.
    fn line(&mut self, keyword: &str, value: &str) -> Option<()> {
        let mut function = |name: &str, has_run| *self.functions.entry(name.to_owned()).or_default() |= has_run;
        match keyword {
            // Line, count and, seldom, a checksum.
            "DA" => {
                let (line, count) = value.split_once(',')?;
                let has_run = has_run(count.split(',').next()?)?;
                *self.lines.entry(line.parse().ok()?).or_default() |= has_run;
            }
            // Line, seldom the last line, and name: a name may hold commas, a line only digits.
            "FN" => {
                let (_, name) = value.split_once(',')?;
                let name = name.split_once(',').filter(|(end, _)| end.parse::<u64>().is_ok()).map_or(name, |it| it.1);
                function(name, false);
            }
            "FNDA" => {
                let (count, name) = value.split_once(',')?;
                function(name, has_run(count)?);
            }
            "FNL" => function(value.split(',').next()?, false),
            "FNA" => {
                let mut fields = value.splitn(3, ',');
                let (index, count) = (fields.next()?, fields.next()?);
                function(index, has_run(count)?);
            }
            _ => {
                if let Some(sum) = SUMS.iter().find(|sum| **sum == keyword) {
                    self.sums.insert(sum, value.parse().ok()?);
                }
            }
        }
        Some(())
    }
}

/// Whether a count is more than zero; none where it isn't one. Counts of merged runs may have a fraction.
fn has_run(count: &str) -> Option<bool> {
    count.parse::<f64>().ok().filter(|count| *count >= 0.0 && count.is_finite()).map(|count| count > 0.0)
}
