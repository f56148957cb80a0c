//! One part of Omniglot, as a zip or as a folder, and the images in it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use zip::ZipArchive;

use crate::data::decode;
use crate::data::left_out::{LeftOut, Reason};
use crate::data::names::{Entry, composed, is_hidden};
use crate::data::stored_split::{ImageDigest, digest_of};
use crate::disk::read::{self, IMAGE};
use crate::error::{Error, Result};

/// What macOS adds to zips: the whole tree once more, with its own notes on each file.
const MACOS: &str = "__MACOSX";

/// The pieces of a path below the last folder `part` in it (all of them without one).
fn inside_of<'a, 'b>(pieces: &'a [&'b str], part: &str) -> &'a [&'b str] {
    let root = pieces.iter().rposition(|piece| *piece == part).map_or(0, |index| index + 1);
    &pieces[root..]
}

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
        let own = inside_of(&pieces, part);
        // Other folders above the part do not matter.
        if pieces[0] == MACOS || own.iter().any(|piece| is_hidden(piece)) {
            return None;
        }
        let inside = Path::new(inside);
        if !inside.extension().is_some_and(|it| it.eq_ignore_ascii_case("png")) {
            left.add(Reason::format_of(inside), inside);
            return None;
        }
        let [alphabet, character, file] = own else {
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

    /// The digest of the whole part, where it is one file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn digest(&self) -> Result<Option<ImageDigest>> {
        match &self.place {
            Place::Zip(path) => {
                let bytes = read::bytes(path)?;
                Ok(Some(digest_of(self.name, &bytes)))
            }
            Place::Folder(_) => Ok(None),
        }
    }

    /// All images, and a note in `left` of what is none.
    ///
    /// # Errors
    /// [`Error::Data`] for a damaged zip, for a link to an image that is not there, for what is no file, and for a
    /// character without images.
    pub fn members(&self, left: &mut LeftOut) -> Result<Vec<Member>> {
        let (mut members, mut folders) = (Vec::new(), Vec::new());
        match &self.place {
            Place::Zip(path) => {
                let zip = open_zip(path)?;
                for name in zip.file_names() {
                    let name = name.map_err(|error| Error::data(path, error.to_string()))?;
                    match name.strip_suffix('/') {
                        Some(folder) => folders.push(folder.to_string()),
                        None => members.extend(Member::parse(self.name, &name, &name, left)),
                    }
                }
            }
            Place::Folder(path) => {
                let mut walk = Walk { root: path, files: Vec::new(), folders: Vec::new(), left };
                walk.folder(path, 0)?;
                folders = walk.folders;
                for (inside, file) in walk.files {
                    members.extend(Member::parse(self.name, &inside, &file, left));
                }
            }
        }
        self.refuse_empty(&members, &folders)?;
        Ok(members)
    }

    /// Refuses characters, by their `folders` in the part, that have no images of their own.
    fn refuse_empty(&self, members: &[Member], folders: &[String]) -> Result<()> {
        let filled: BTreeSet<(&str, &str)> = members.iter().map(Member::class).collect();
        for folder in folders {
            let pieces: Vec<&str> = folder.split('/').collect();
            let inside = inside_of(&pieces, self.name);
            let hidden = pieces[0] == MACOS || inside.iter().any(|piece| is_hidden(piece));
            let [alphabet, character] = inside else { continue };
            if !hidden && !filled.contains(&(&*composed(alphabet), &*composed(character))) {
                let message = format!(
                    "{folder} holds no image; fill it, move up what is in folders inside it, or remove it"
                );
                return Err(Error::data(self.path(), message));
            }
        }
        Ok(())
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
        let bytes = match &mut self.zip {
            Some(zip) => {
                let file = zip.by_name(&member.path).map_err(|error| broken(&self.path, &error))?;
                let (what, size) = (format!("{} unfolds to", member.path), file.size());
                match read::unfolded(file, &self.path, &what, size, IMAGE) {
                    Err(Error::Io { error, .. }) => return Err(broken(&self.path, &error)),
                    bytes => bytes?,
                }
            }
            None => read::bytes(Path::new(&member.path))?,
        };
        let pixels = grey(&bytes, decode::limits()?);
        let (side, pixels) = pixels.map_err(|error| broken(&self.path, &error))?;
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
fn grey(bytes: &[u8], limits: Limits) -> Result<(usize, Vec<u8>), String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    reader.limits(limits);
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
    let file = read::open(path)?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| {
        Error::data(path, format!("is no whole zip file ({error}); fetch it again"))
    })
}

/// Folders below a part that are looked into: its own again, as some programs unpack it, alphabets, characters.
const DEPTH: usize = 3;

/// What lies in a folder that was extracted.
struct Walk<'a> {
    root: &'a Path,
    /// Each as a path in the part with `/`, and where it lies.
    files: Vec<(String, String)>,
    /// Paths in the part with `/`.
    folders: Vec<String>,
    left: &'a mut LeftOut,
}

impl Walk<'_> {
    /// Takes what lies in `folder`, which is `depth` folders below the root.
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<()> {
        let text = |path: &Path| path.to_string_lossy().replace('\\', "/");
        for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
            let entry = entry.map_err(Error::io(folder))?;
            let path = entry.path();
            if is_hidden(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let inside = path.strip_prefix(self.root).unwrap_or(&path).to_path_buf();
            let png = inside.extension().is_some_and(|it| it.eq_ignore_ascii_case("png"));
            match Entry::at(&path).map_err(Error::io(&path))? {
                Entry::File => self.files.push((text(&inside), text(&path))),
                Entry::Folder if depth < DEPTH && !leads_back(&path) => {
                    self.folders.push(text(&inside));
                    self.folder(&path, depth + 1)?;
                }
                Entry::Folder => self.left.add(Reason::Deep, &inside),
                Entry::Dangling if png => {
                    let message = "is a link to an image that is not there, so its character would lose \
                                   one; mend the link or remove it";
                    return Err(Error::data(path, message));
                }
                Entry::Special if png => {
                    let message = "is a pipe, a socket or a device, not a file; remove it";
                    return Err(Error::data(path, message));
                }
                Entry::Dangling => self.left.add(Reason::DanglingLink, &inside),
                Entry::Special => self.left.add(Reason::Special, &inside),
            }
        }
        Ok(())
    }
}

/// Whether the folder at `path` is a link to one that it lies in.
fn leads_back(path: &Path) -> bool {
    let [own, above] = [Some(path), path.parent()].map(|path| path?.canonicalize().ok());
    own.zip(above).is_some_and(|(own, above)| above.starts_with(own))
}
