use super::*;
use crate::tasks::Bits;

/// Classes a, b, c of 2, 3, 2 images; a turned twice to train on, c to test on.
fn split() -> (Split, Vec<ImageDigest>) {
    let counts = [("a", 2), ("b", 3), ("c", 2)];
    let mut first_image = 0;
    let classes = counts.map(|(name, images)| {
        first_image += images;
        ImageClass { name: name.into(), first_image: first_image - images, images }
    });
    let files: Vec<String> = (0..7).map(|image| format!("{image}.png")).collect();
    let digests = files.iter().map(|file| digest_of(file, file.as_bytes())).collect();
    let images = ImageSet {
        width: 1,
        height: 1,
        channels: 1,
        bits: Bits::Eight,
        words: vec![0; 7],
        classes: classes.to_vec(),
        files,
    };
    let class = |class, rotation| SplitClass { class, rotation };
    let train = vec![class(1, 0), class(0, 0), class(1, 1), class(0, 1)];
    (Split { images, train, val: Vec::new(), test: vec![class(2, 0)] }, digests)
}

#[test]
fn a_split_comes_back_in_its_order() {
    let (split, digests) = split();
    let stored = StoredSplit::of(&split, &digests);
    let stored = StoredSplit::from_json(&stored.to_json()).unwrap();
    let ([train, val, test], missing) = stored.classes(&split.images, 2);
    assert_eq!((train, val, test), (split.train.clone(), split.val.clone(), split.test.clone()));
    assert!(missing.is_empty() && stored.unknown(&split.images).is_empty());
    assert!(stored.changed(&split.images, &digests).is_empty());
}

#[test]
fn test_classes_that_were_trained_on_are_known_by_name_or_images() {
    let (mut split, digests) = split();
    let stored = StoredSplit::of(&split, &digests);
    assert!(stored.trained_on(&stored).is_empty());
    // `a` under another name, and `b` as it is.
    split.images.classes[0].name = "new".into();
    split.test = vec![SplitClass { class: 0, rotation: 0 }, SplitClass { class: 1, rotation: 0 }];
    assert_eq!(stored.trained_on(&StoredSplit::of(&split, &digests)), ["new", "b"]);
}

#[test]
fn what_is_missing_new_or_changed_is_named() {
    let (mut split, mut digests) = split();
    let stored = StoredSplit::of(&split, &digests);
    split.images.classes[0].name = "new".into();
    let ([train, ..], missing) = stored.classes(&split.images, 1);
    assert_eq!((train.len(), missing), (1, vec!["a".to_string()]));
    assert_eq!(stored.unknown(&split.images), ["new"]);
    digests[3] = digest_of("3.png", b"other");
    assert_eq!(stored.changed(&split.images, &digests), ["b/3.png"]);
    digests.swap(5, 6);
    assert_eq!(stored.changed(&split.images, &digests), ["b/3.png", "c: the order of its images"]);
    // The last image of `c` is gone.
    split.images.classes[2].images = 1;
    digests.swap(5, 6);
    assert_eq!(stored.changed(&split.images, &digests), ["b/3.png", "c: 1 image is gone"]);
}

#[test]
fn messages_name_the_first_twenty_and_the_remedy() {
    let names: Vec<String> = (0..23).map(|n| format!("class{n}")).collect();
    let text = refuse(Path::new("d"), &names, &["b/3.png".into()]).to_string();
    for part in
        ["d: ", "23 classes are missing", "class19 and 3 more", "b/3.png", "with what is there"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("class20"), "{text}");
}

#[test]
fn damaged_json_is_refused() {
    for text in
        ["", "{}", r#"{"train":[{"name":"a","digest":"","marks":"abc"}],"val":[],"test":[]}"#]
    {
        assert!(StoredSplit::from_json(text).unwrap_err().contains("stored split"));
    }
}
