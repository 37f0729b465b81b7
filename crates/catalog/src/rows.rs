//! The catalogue's tables: what ships, and rows that a user adds.

use crate::chip::Chip;
use crate::model::{Model, Shape};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

const CHIPS: &str = include_str!("../data/chips.csv");
const MODELS: &str = include_str!("../data/models.csv");
/// Rows of one table.
const ROWS_MAX: usize = 10_000;

/// How far a row can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Read in a document or file of its maker, or in a measuring tool's description of it.
    Seen,
    /// From memory: to be verified before money depends on it.
    Memory,
    /// Worked out from related rows.
    Inferred,
    /// Taken from others of its size or name.
    Guessed,
}

/// Why rows cannot be used.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// Not the columns of the table, or a cell that is no number.
    #[error("row {row} of {table}: {problem}")]
    Row {
        /// Which table.
        table: &'static str,
        /// From 1, the header apart.
        row: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Too many rows.
    #[error("{table} has more than {ROWS_MAX} rows")]
    Size {
        /// Which table.
        table: &'static str,
    },
    /// A `config.json` that does not say what is needed.
    #[error("config.json: {0}")]
    Config(String),
}

/// Chips and models by name.
#[derive(Clone, Debug, Serialize)]
pub struct Catalog {
    /// In the order of the table.
    pub chips: Vec<Chip>,
    /// In the order of the table.
    pub models: Vec<Model>,
}

impl Catalog {
    /// What ships.
    ///
    /// # Errors
    /// A shipped table is broken; a test says that none is.
    pub fn shipped() -> Result<Self, CatalogError> {
        let mut catalog = Self {
            chips: Vec::new(),
            models: Vec::new(),
        };
        catalog.add_chips(CHIPS)?;
        catalog.add_models(MODELS)?;
        Ok(catalog)
    }

    /// Adds rows of chips; a later row goes before an earlier one of that name.
    ///
    /// # Errors
    /// A row is not one of a chip.
    pub fn add_chips(&mut self, csv: &str) -> Result<(), CatalogError> {
        for (row, chip) in parse::<Chip>("chips", csv)?.into_iter().enumerate() {
            chip.check().map_err(|problem| CatalogError::Row {
                table: "chips",
                row: row + 1,
                problem,
            })?;
            self.chips.retain(|other| other.name != chip.name);
            self.chips.push(chip);
        }
        Ok(())
    }

    /// Adds rows of models; a later row goes before an earlier one of that name.
    ///
    /// # Errors
    /// A row is not one of a model.
    pub fn add_models(&mut self, csv: &str) -> Result<(), CatalogError> {
        let names = parse::<Model>("models", csv)?;
        let shapes = parse::<Shape>("models", csv)?;
        for (row, (mut model, shape)) in names.into_iter().zip(shapes).enumerate() {
            model.shape = shape;
            model.shape.check().map_err(|problem| CatalogError::Row {
                table: "models",
                row: row + 1,
                problem,
            })?;
            self.add_model(model);
        }
        Ok(())
    }

    /// Adds one model, as one that a `config.json` describes.
    pub fn add_model(&mut self, model: Model) {
        self.models.retain(|other| other.name != model.name);
        self.models.push(model);
    }

    /// The chip of that name or system, as in `h100_sxm` or `RTX-PRO-6000`.
    pub fn chip(&self, name: &str) -> Option<&Chip> {
        let name = name.to_lowercase();
        let named = self
            .chips
            .iter()
            .filter_map(|chip| Some((longest_match(&name, &chip.name, &chip.fragments)?, chip)));
        named
            .max_by_key(|(length, _)| *length)
            .map(|(_, chip)| chip)
    }

    /// The model of that name or path, as in `nvidia/Qwen3-32B-NVFP4`: the longest part of a name that it holds decides.
    pub fn model(&self, name: &str) -> Option<&Model> {
        let name = name.to_lowercase();
        let named = self.models.iter().filter_map(|model| {
            Some((longest_match(&name, &model.name, &model.fragments)?, model))
        });
        named
            .max_by_key(|(length, _)| *length)
            .map(|(_, model)| model)
    }
}

/// Length of the longest fragment that the name holds; the row's own name counts as one.
fn longest_match(name: &str, own: &str, fragments: &str) -> Option<usize> {
    let own = own.to_lowercase();
    fragments
        .split('|')
        .chain([own.as_str()])
        .filter(|fragment| !fragment.is_empty() && holds(name, fragment))
        .map(str::len)
        .max()
}

/// Whether the name holds that fragment, its last number whole: `h1000` is no `h100`.
fn holds(name: &str, fragment: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    name.match_indices(fragment).any(|(at, _)| {
        !(fragment.ends_with(is_digit) && name[at + fragment.len()..].starts_with(is_digit))
    })
}

fn parse<T: DeserializeOwned>(table: &'static str, text: &str) -> Result<Vec<T>, CatalogError> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| row(table, 0, &error))?;
    let header = header.clone();
    let mut rows = Vec::new();
    for (at, record) in reader.records().enumerate() {
        if at >= ROWS_MAX {
            return Err(CatalogError::Size { table });
        }
        let record = record.map_err(|error| row(table, at + 1, &error))?;
        rows.push(
            record
                .deserialize(Some(&header))
                .map_err(|error| row(table, at + 1, &error))?,
        );
    }
    Ok(rows)
}

fn row(table: &'static str, row: usize, error: &csv::Error) -> CatalogError {
    CatalogError::Row {
        table,
        row,
        // The csv crate's words name a line too, which is the one above where lines end by CR and LF.
        problem: match error.kind() {
            csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
            _ => error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_can_be_read_and_each_name_is_found_by_itself() {
        let catalog = Catalog::shipped().unwrap();
        for chip in &catalog.chips {
            assert_eq!(catalog.chip(&chip.name).unwrap().name, chip.name);
        }
        for model in &catalog.models {
            assert_eq!(catalog.model(&model.name).unwrap().name, model.name);
        }
    }

    #[test]
    fn names_of_others_are_known() {
        let catalog = Catalog::shipped().unwrap();
        for (name, row) in [
            ("h200_sxm", "H200-SXM"),
            ("gb300", "GB300"),
            ("b300_sxm", "B300-SXM"),
            ("RTXPRO6000", "RTX-PRO-6000"),
            ("RTX4090", "RTX-4090"),
            // Of less memory than the one of which everyone speaks.
            ("NVIDIA A100-SXM4-40GB", "A100-SXM-40GB"),
            ("a100_pcie_80gb", "A100-PCIe-80GB"),
            ("H100_NVL", "H100-NVL"),
            ("H20", "H20"),
            ("L40S", "L40S"),
        ] {
            assert_eq!(catalog.chip(name).map(|chip| chip.name.as_str()), Some(row));
        }
        for (path, row) in [
            ("nvidia/Qwen3-32B-NVFP4", "Qwen3-32B"),
            ("Qwen/Qwen3-30B-A3B", "Qwen3-30B-A3B"),
            ("nvidia/DeepSeek-V3.1-NVFP4", "DeepSeek-V3"),
            ("meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B"),
            ("skt/A.X-4.0-Light", "Qwen2.5-7B"),
        ] {
            assert_eq!(
                catalog.model(path).map(|model| model.name.as_str()),
                Some(row)
            );
        }
        assert!(catalog.model("somebody/else").is_none());
        // Numbers of which a known one is the beginning are others.
        for name in ["H1000", "L4000", "h2000_sxm"] {
            assert_eq!(catalog.chip(name).map(|chip| chip.name.as_str()), None);
        }
    }

    #[test]
    fn a_broken_row_is_named() {
        let mut catalog = Catalog::shipped().unwrap();
        let header = CHIPS.lines().next().unwrap();
        let error = catalog
            .add_chips(&format!(
                "{header}\nX,x,Maker,-1,100,10,,,10,,,,,,,seen,me\n"
            ))
            .unwrap_err();
        assert!(
            error.to_string().starts_with("row 1 of chips: memory_gb"),
            "{error}"
        );
    }

    #[test]
    fn a_cell_that_is_no_number_is_named_without_a_line_of_its_own() {
        let mut catalog = Catalog::shipped().unwrap();
        let header = CHIPS.lines().next().unwrap();
        let text = format!("{header}\r\nX,x,Maker,much,100,10,,,10,,,,,,,seen,me\r\n");
        let error = catalog.add_chips(&text).unwrap_err().to_string();
        assert_eq!(error, "row 1 of chips: field 3: invalid float literal");
    }

    #[test]
    fn kv_bytes_are_the_published_ones() {
        let catalog = Catalog::shipped().unwrap();
        for (name, at_start, past_window) in [
            ("Llama-3.1-8B", 131_072.0, 131_072.0),
            ("Llama-3.1-405B", 516_096.0, 516_096.0),
            ("Qwen3-235B-A22B", 192_512.0, 192_512.0),
            ("DeepSeek-V3", 70_272.0, 70_272.0),
            ("gpt-oss-120b", 73_728.0, 36_864.0),
            ("EXAONE-4.0-32B", 262_144.0, 65_536.0),
            ("Gemma-3-27B", 507_904.0, 81_920.0),
        ] {
            let shape = &catalog.model(name).unwrap().shape;
            assert_eq!(2.0 * shape.kv_elements(1.0), at_start, "{name}");
            let growth = shape.kv_elements(100_001.0) - shape.kv_elements(100_000.0);
            assert_eq!(2.0 * growth, past_window, "{name}");
        }
    }

    #[test]
    fn shapes_multiply_out_to_their_sizes() {
        for model in Catalog::shipped().unwrap().models {
            let ratio = model.shape.params() / 1e9 / model.params_b;
            assert!((0.93..1.07).contains(&ratio), "{}: {ratio}", model.name);
        }
    }
}
