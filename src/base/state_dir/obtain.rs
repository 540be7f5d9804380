//! The one policy for the files that the daemon needs. A file that is missing is made. A damaged one is set aside first. Where a
//! file can't be read or written just now, its content is made for this run alone, and the file stays as it is.

use super::{StateDir, StateError};

/// The content that the daemon goes on with.
#[derive(Debug)]
pub struct Obtained<T> {
    /// The contents, as they were read or made.
    pub value: T,
    /// Why it is not what the file held, or will not be there after the next start.
    pub trouble: Option<String>,
}

impl StateDir {
    /// A file's content, as `parse` reads it or says why it can't; `None` if there is no such file.
    ///
    /// # Errors
    /// When it can't be read, or is damaged.
    pub fn find<T>(
        &self,
        name: &str,
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, StateError> {
        let Some(content) = self.read(name)? else {
            return Ok(None);
        };
        let path = self.path(name);
        let parsed = parse(&content).map_err(|reason| StateError::Damaged { path, reason });
        parsed.map(Some)
    }

    /// The same; a missing file is made: `make` returns the value and the file's content.
    ///
    /// # Errors
    /// When the file can't be read or written, or is damaged.
    pub fn find_or_make<T>(
        &self,
        name: &str,
        parse: impl Fn(&[u8]) -> Result<T, String>,
        make: impl Fn() -> (T, Vec<u8>),
    ) -> Result<T, StateError> {
        if let Some(found) = self.find(name, &parse)? {
            return Ok(found);
        }
        let writing = self.writing()?;
        // Another process may have made it meanwhile.
        if let Some(found) = writing.find(name, &parse)? {
            return Ok(found);
        }
        let (made, content) = make();
        writing.write(name, &content)?;
        Ok(made)
    }

    /// The variant for a daemon, which serves whatever is wrong with the file.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn obtain<T, E>(
        &self,
        name: &str,
        parse: impl Fn(&[u8]) -> Result<T, String>,
        make: impl Fn() -> Result<(T, Vec<u8>), E>,
    ) -> Result<Obtained<T>, E> {
        let sound = |value| Obtained {
            value,
            trouble: None,
        };
        let for_this_run = |trouble: String| {
            let (value, _) = make()?;
            let trouble = Some(trouble);
            Ok(Obtained { value, trouble })
        };
        match self.find(name, &parse) {
            Ok(Some(value)) => return Ok(sound(value)),
            Ok(None) | Err(StateError::Damaged { .. }) => {}
            Err(error) => return for_this_run(error.to_string()),
        }
        let writing = match self.writing() {
            Ok(writing) => writing,
            Err(error) => return for_this_run(error.to_string()),
        };
        let damage = match writing.find(name, &parse) {
            Ok(Some(value)) => return Ok(sound(value)),
            Ok(None) => None,
            Err(StateError::Damaged { path, reason }) => match writing.set_aside(name) {
                Ok(aside) => {
                    let (path, aside) = (path.display(), aside.display());
                    Some(format!("{path}: {reason} (it is kept as {aside})"))
                }
                Err(error) => return for_this_run(error.to_string()),
            },
            Err(error) => return for_this_run(error.to_string()),
        };
        let (value, content) = make()?;
        let written = writing.write(name, &content);
        let troubles = damage
            .into_iter()
            .chain(written.err().map(|error| error.to_string()));
        let trouble = troubles.reduce(|damage, error| format!("{damage}; {error}"));
        Ok(Obtained { value, trouble })
    }
}
