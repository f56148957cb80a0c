//! A graph of ONNX operators (opset 17) as layers build it, and its bytes.
//!
//! A value between two nodes is `[N, C, H, W]` or `[N, features]`; N is what the caller of the graph gives.

mod messages;

use std::collections::BTreeMap;

use prost::Message;

use messages::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, Size,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorType, TypeProto, ValueInfoProto,
};

/// The version of the file format, of ONNX 1.12.
const IR: i64 = 8;
/// The version of the operators.
const OPSET: i64 = 17;
/// `TensorProto.DataType.FLOAT` and `INT64`.
const FLOAT: i32 = 1;
const INT64: i32 = 7;
/// `AttributeProto.AttributeType.FLOAT`, `INT` and `INTS`.
const ATTRIBUTE_FLOAT: i32 = 1;
const ATTRIBUTE_INT: i32 = 2;
const ATTRIBUTE_INTS: i32 = 7;

/// What a node makes, or the graph is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    name: String,
    /// Whether it is `[N, C, H, W]`, not `[N, features]`.
    pub image: bool,
}

/// A setting of a node.
#[derive(Clone, Debug)]
pub enum Attribute {
    /// A number.
    Float(f32),
    /// An integer.
    Int(i64),
    /// Integers.
    Ints(Vec<i64>),
}

/// Nodes and constants so far.
#[derive(Debug, Default)]
pub struct Graph {
    proto: GraphProto,
}

impl Graph {
    /// The graph's input `[N, …shape]`.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> Value {
        self.proto.input.push(info(name, shape));
        Value { name: name.into(), image: shape.len() == 3 }
    }

    /// Names `value` as the graph's output `[N, …shape]`.
    pub fn output(&mut self, name: &str, shape: &[usize], value: &Value) {
        self.node("Identity", [&value.name], name.into(), []);
        self.proto.output.push(info(name, shape));
    }

    /// A constant of floats, which nodes take by its name.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, FLOAT, shape, bytes)
    }

    /// A constant number.
    pub fn number(&mut self, value: f32) -> String {
        let name = format!("numbers{}", self.proto.initializer.len());
        self.floats(&name, &[], &[value])
    }

    /// A constant list of integers.
    pub fn ints(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let name = format!("numbers{}", self.proto.initializer.len());
        self.constant(&name, INT64, &[values.len()], bytes)
    }

    fn constant(&mut self, name: &str, kind: i32, shape: &[usize], bytes: Vec<u8>) -> String {
        self.proto.initializer.push(TensorProto {
            dims: shape.iter().map(|size| *size as i64).collect(),
            data_type: Some(kind),
            name: Some(name.into()),
            raw_data: Some(bytes),
        });
        name.into()
    }

    /// Adds the operator `kind` on `x` and `others`, which makes a value of the same rank.
    pub fn add(&mut self, kind: &str, x: &Value, others: &[&str]) -> Value {
        self.add_with(kind, x, others, [])
    }

    /// The same with settings.
    pub fn add_with<const N: usize>(
        &mut self,
        kind: &str,
        x: &Value,
        others: &[&str],
        settings: [(&str, Attribute); N],
    ) -> Value {
        let name = format!("value{}", self.proto.node.len());
        let inputs = std::iter::once(x.name.as_str()).chain(others.iter().copied());
        self.node(kind, inputs, name.clone(), settings);
        Value { name, image: x.image }
    }

    /// Adds an operator on two values.
    pub fn combine(&mut self, kind: &str, a: &Value, b: &Value) -> Value {
        self.add(kind, a, &[&b.name])
    }

    /// `x` as `[N, features]`.
    pub fn flattened(&mut self, x: &Value) -> Value {
        Value { image: false, ..self.add("Flatten", x, &[]) }
    }

    /// A scale or shift for each channel of `x`, or of the shape of its examples: with the axes that it is spread over.
    pub fn affine(&mut self, name: &str, shape: &[usize], values: &[f32], x: &Value) -> String {
        match (x.image, shape) {
            (true, [channels]) => self.floats(name, &[*channels, 1, 1], values),
            _ => self.floats(name, shape, values),
        }
    }

    fn node<'a, const N: usize>(
        &mut self,
        kind: &str,
        inputs: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>,
        output: String,
        settings: [(&str, Attribute); N],
    ) {
        self.proto.node.push(NodeProto {
            input: inputs.into_iter().map(|name| name.as_ref().into()).collect(),
            output: vec![output],
            op_type: Some(kind.into()),
            attribute: settings.into_iter().map(attribute).collect(),
        });
    }

    /// The file of the whole graph, with what is to be said of it.
    pub fn into_bytes(mut self, metadata: &BTreeMap<String, String>) -> Vec<u8> {
        self.proto.name = Some("reptile".into());
        let entry = |(key, value): (&String, &String)| StringStringEntryProto {
            key: Some(key.clone()),
            value: Some(value.clone()),
        };
        let model = ModelProto {
            ir_version: Some(IR),
            producer_name: Some(env!("CARGO_PKG_NAME").into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            graph: Some(self.proto),
            opset_import: vec![OperatorSetIdProto {
                domain: Some(String::new()),
                version: Some(OPSET),
            }],
            metadata_props: metadata.iter().map(entry).collect(),
        };
        model.encode_to_vec()
    }
}

fn attribute((name, value): (&str, Attribute)) -> AttributeProto {
    let own = AttributeProto { name: Some(name.into()), ..AttributeProto::default() };
    match value {
        Attribute::Float(value) => {
            AttributeProto { f: Some(value), r#type: Some(ATTRIBUTE_FLOAT), ..own }
        }
        Attribute::Int(value) => {
            AttributeProto { i: Some(value), r#type: Some(ATTRIBUTE_INT), ..own }
        }
        Attribute::Ints(ints) => AttributeProto { ints, r#type: Some(ATTRIBUTE_INTS), ..own },
    }
}

/// Floats `[N, …shape]` by name.
fn info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let count = std::iter::once(Size::Name("N".into()));
    let sizes = count.chain(shape.iter().map(|size| Size::Value(*size as i64)));
    let dim = sizes.map(|size| Dimension { value: Some(size) }).collect();
    let shape = Some(TensorShapeProto { dim });
    let tensor_type = Some(TensorType { elem_type: Some(FLOAT), shape });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type }) }
}
