//! One part of Omniglot, as a zip or as a folder, and the images in it.

use std::fs::{self, File};
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, ImageReader};
use zip::ZipArchive;

use crate::error::{Error, Result};
use crate::tasks::left_out::{LeftOut, Reason};
use crate::tasks::names::{composed, is_hidden};
use crate::tasks::stored_split::{ImageDigest, digest_of};

/// Where a part lies.
#[derive(Clone, Debug)]
enum Place {
    Zip(PathBuf),
    Folder(PathBuf),
}

/// A part of the data set.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// `images_background` or `images_evaluation`.
    pub name: &'static str,
    place: Place,
}

/// One image of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub alphabet: String,
    pub character: String,
    pub file: String,
    /// Name in the zip, or path on disk.
    pub path: String,
}

impl Member {
    /// Alphabet and character.
    pub fn class(&self) -> (&str, &str) {
        (&self.alphabet, &self.character)
    }

    /// The image at `path`, which lies at `inside` in the part; none if that is hidden, and none, with a note in
    /// `left`, if `inside`, from the last folder `part` on, is not `Alphabet/character/file.png`.
    fn parse(part: &str, inside: &str, path: &str, left: &mut LeftOut) -> Option<Self> {
        let pieces: Vec<&str> = inside.split('/').collect();
        let root = pieces.iter().rposition(|piece| *piece == part).map_or(0, |index| index + 1);
        // `__MACOSX` repeats the whole tree of a zip; other folders above the part do not matter.
        if pieces[0] == "__MACOSX" || pieces[root..].iter().any(|piece| is_hidden(piece)) {
            return None;
        }
        let inside = Path::new(inside);
        if !inside.extension().is_some_and(|it| it.eq_ignore_ascii_case("png")) {
            left.add(Reason::format_of(inside), inside);
            return None;
        }
        let [alphabet, character, file] = pieces[root..] else {
            left.add(Reason::Depth, inside);
            return None;
        };
        Some(Self {
            alphabet: composed(alphabet),
            character: composed(character),
            file: composed(file),
            path: path.to_string(),
        })
    }
}

impl Part {
    /// The zip `name`.zip or the folder `name` in `folder`.
    pub fn find(folder: &Path, name: &'static str) -> Option<Self> {
        let zip = folder.join(format!("{name}.zip"));
        let extracted = folder.join(name);
        if zip.is_file() {
            Some(Self { name, place: Place::Zip(zip) })
        } else {
            extracted.is_dir().then_some(Self { name, place: Place::Folder(extracted) })
        }
    }

    /// The zip or folder.
    pub fn path(&self) -> &Path {
        match &self.place {
            Place::Zip(path) | Place::Folder(path) => path,
        }
    }

    /// All images, and a note in `left` of what is none.
    ///
    /// # Errors
    /// [`Error::Data`] for a damaged zip, and for a link to an image that is not there.
    pub fn members(&self, left: &mut LeftOut) -> Result<Vec<Member>> {
        match &self.place {
            Place::Zip(path) => {
                let zip = open_zip(path)?;
                let mut members = Vec::with_capacity(zip.len());
                for name in zip.file_names() {
                    let name = name.map_err(|error| Error::data(path, error.to_string()))?;
                    if !name.ends_with('/') {
                        members.extend(Member::parse(self.name, &name, &name, left));
                    }
                }
                Ok(members)
            }
            Place::Folder(path) => {
                let mut files = Vec::new();
                walk(path, &mut files)?;
                let text = |path: &Path| path.to_string_lossy().replace('\\', "/");
                let mut members = Vec::with_capacity(files.len());
                for file in &files {
                    let inside = file.strip_prefix(path).unwrap_or(file);
                    let found = Member::parse(self.name, &text(inside), &text(file), left);
                    if found.is_some() && !file.exists() {
                        let message = "is a link to an image that is not there, so its character would lose \
                                       one; mend the link or remove it";
                        return Err(Error::data(file, message));
                    }
                    members.extend(found);
                }
                Ok(members)
            }
        }
    }

    /// Opens it for reading images.
    pub fn open(&self) -> Result<Reader> {
        Ok(Reader {
            path: self.path().to_path_buf(),
            zip: match &self.place {
                Place::Zip(path) => Some(open_zip(path)?),
                Place::Folder(_) => None,
            },
        })
    }
}

/// A part that is open.
pub(super) struct Reader {
    path: PathBuf,
    zip: Option<ZipArchive<BufReader<File>>>,
}

impl Reader {
    /// Decodes `member`, resizes it to `size` × `size` by the nearest pixel, index
    /// ⌊(i + ½) · side / size⌋, and sets the bits of its white pixels in `image`. Returns its digest.
    pub fn decode(
        &mut self,
        member: &Member,
        size: usize,
        image: &mut [u32],
    ) -> Result<ImageDigest> {
        let broken = |path: &Path, error: &dyn std::fmt::Display| {
            Error::data(path, format!("{}: {error}; fetch the file again", member.path))
        };
        let mut bytes = Vec::new();
        match &mut self.zip {
            Some(zip) => {
                let mut file =
                    zip.by_name(&member.path).map_err(|error| broken(&self.path, &error))?;
                file.read_to_end(&mut bytes).map_err(|error| broken(&self.path, &error))?;
            }
            None => bytes = fs::read(&member.path).map_err(Error::io(&member.path))?,
        }
        let (side, pixels) = grey(&bytes).map_err(|error| broken(&self.path, &error))?;
        for row in 0..size {
            for column in 0..size {
                let source = |i: usize| (2 * i + 1) * side / (2 * size);
                let white = pixels[source(row) * side + source(column)] >= 128;
                let place = row * size + column;
                image[place / 32] |= u32::from(white) << (place % 32);
            }
        }
        Ok(digest_of(&member.file, &bytes))
    }
}

/// Side and grey values of a square PNG.
fn grey(bytes: &[u8]) -> Result<(usize, Vec<u8>), String> {
    // The reader refuses headers that ask for more memory than an image can need.
    let reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let image = match reader.decode().map_err(|error| error.to_string())? {
        DynamicImage::ImageLuma8(image) => image,
        other => {
            return Err(format!("the image is {:?}, not black and white or grey", other.color()));
        }
    };
    let (width, height) = image.dimensions();
    if width != height || width == 0 {
        return Err(format!("the image has {width}×{height} pixels, not a square"));
    }
    Ok((width as usize, image.into_raw()))
}

fn open_zip(path: &Path) -> Result<ZipArchive<BufReader<File>>> {
    let file = File::open(path).map_err(Error::io(path))?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| {
        Error::data(path, format!("is no whole zip file ({error}); fetch it again"))
    })
}

/// Appends all files below `folder`; hidden folders are not looked into.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        if is_hidden(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
