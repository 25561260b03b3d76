import type { DType } from '@textual-inversion/core';
import protobuf from 'protobufjs/minimal.js';
import type { Attribute, Constant, ElementType, Graph, Node, Value, WeightUse } from './graph.js';
import { MICROSOFT } from './graph.js';

// The part of onnx.proto (github.com/onnx/onnx, IR version 10) that our graphs need: message fields by number. A writer is enough,
// and unlike protobufjs' reflection it needs no code made at run time, which many web pages forbid.

const IR_VERSION = 10;
/** Old enough that every execution provider has kernels for all of it; new enough for `LayerNormalization`. */
const OPSET = 17;

const ELEMENT = { float32: 1, int32: 6, int64: 7, bool: 9 } as const satisfies Record<ElementType, number>;
const STORED: Readonly<Record<DType, number>> = {
  F32: 1,
  U8: 2,
  I8: 3,
  I16: 5,
  I32: 6,
  I64: 7,
  BOOL: 9,
  F16: 10,
  F64: 11,
  BF16: 16,
};
const EXTERNAL = 1;
const [LENGTH_DELIMITED, VARINT, FIXED32] = [2, 0, 5];

type Writer = protobuf.Writer;
const field = (number: number, wireType: number): number => (number << 3) | wireType;

/** Where a session finds a weight's bytes. */
export interface WeightPlace {
  readonly location: string;
  readonly offset: number;
}

/** How weights are written. */
export interface WeightWriting {
  /** Where the numbers of a weight are. */
  readonly placeOf: (weight: WeightUse) => WeightPlace;
  /** Whether each node that takes a weight of half precision has a cast of its own, or all of them have one together. */
  readonly castAtUse: boolean;
}

/** Writes a graph as an ONNX model. Nodes and inputs that no output needs are left out. */
export function writeModel(graph: Graph, writing: WeightWriting): Uint8Array {
  const w = protobuf.Writer.create();
  w.uint32(field(1, VARINT)).int64(IR_VERSION);
  w.uint32(field(2, LENGTH_DELIMITED)).string('textual-inversion');
  message(w, 7, () => writeGraph(w, graph, neededInputs(graph), writing));
  for (const [domain, version] of [
    ['', OPSET],
    [MICROSOFT, 1],
  ] as const) {
    message(w, 8, () => {
      w.uint32(field(1, LENGTH_DELIMITED)).string(domain);
      w.uint32(field(2, VARINT)).int64(version);
    });
  }
  return w.finish();
}

function message(w: Writer, number: number, write: () => void): void {
  w.uint32(field(number, LENGTH_DELIMITED)).fork();
  write();
  w.ldelim();
}

function writeGraph(w: Writer, graph: Graph, inputs: readonly Value[], writing: WeightWriting): void {
  const { nodes, names } = needed(graph);
  const weights = graph.weights.filter(({ value }) => names.has(value.name));
  // ONNX Runtime works its way from the outputs to what they need, the node that was written first at last: so each cast comes right before
  // the node that takes it. Written among the others, all casts would come before all other nodes.
  for (const node of withCasts(nodes, weights, writing)) message(w, 1, () => writeNode(w, node, writing));
  w.uint32(field(2, LENGTH_DELIMITED)).string('graph');
  for (const constant of graph.constants) {
    if (names.has(constant.value.name)) message(w, 5, () => writeConstant(w, constant));
  }
  for (const weight of weights) message(w, 5, () => writeWeight(w, weight, writing.placeOf(weight)));
  for (const value of inputs) message(w, 11, () => writeValueInfo(w, value));
  for (const value of graph.outputs) message(w, 12, () => writeValueInfo(w, value));
}

const stored = (value: Value): string => `${value.name}_stored`;

/** First the casts of weights that are not stored as float32, then `nodes`, which take what the casts give. */
function withCasts(
  nodes: readonly Node[],
  weights: readonly WeightUse[],
  { castAtUse }: WeightWriting,
): readonly Node[] {
  const casts: Node[] = [];
  const cast = (value: Value, output: Value): Value => {
    const inputs = [{ ...value, name: stored(value) }];
    casts.push({ op: 'Cast', domain: '', inputs, outputs: [output], attributes: { to: { int: ELEMENT.float32 } } });
    return output;
  };
  const values = new Map(
    weights.flatMap(({ value, ref }) => (ref.dtype === 'F32' ? [] : [[value.name, value] as const])),
  );
  if (!castAtUse) {
    for (const value of values.values()) cast(value, value);
    return [...casts, ...nodes];
  }
  const own = (value: Value | undefined): Value | undefined =>
    value && values.has(value.name) ? cast(value, { ...value, name: `${value.name}_${casts.length}` }) : value;
  const takers = nodes.map((node) => ({ ...node, inputs: node.inputs.map(own) }));
  return [...casts, ...takers];
}

/** What the outputs depend on, in the order it was recorded. */
export function needed(graph: Graph): { nodes: Node[]; names: ReadonlySet<string> } {
  const names = new Set(graph.outputs.map(({ name }) => name));
  const nodes: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some(({ name }) => names.has(name))) continue;
    nodes.push(node);
    for (const input of node.inputs) if (input) names.add(input.name);
    for (const attribute of Object.values(node.attributes)) {
      if ('graph' in attribute) for (const name of needed(attribute.graph).names) names.add(name);
    }
  }
  return { nodes: nodes.reverse(), names };
}

/** The inputs that some output depends on: a GPU provider would copy the others to the CPU. */
export function neededInputs(graph: Graph): Value[] {
  const { names } = needed(graph);
  return graph.inputs.filter(({ name }) => names.has(name));
}

function writeNode(w: Writer, node: Node, writing: WeightWriting): void {
  for (const input of node.inputs) w.uint32(field(1, LENGTH_DELIMITED)).string(input?.name ?? '');
  for (const output of node.outputs) w.uint32(field(2, LENGTH_DELIMITED)).string(output.name);
  w.uint32(field(3, LENGTH_DELIMITED)).string(`${node.op}_${node.outputs[0]?.name ?? ''}`);
  w.uint32(field(4, LENGTH_DELIMITED)).string(node.op);
  for (const [name, attribute] of Object.entries(node.attributes)) {
    message(w, 5, () => {
      w.uint32(field(1, LENGTH_DELIMITED)).string(name);
      writeAttribute(w, attribute, writing);
    });
  }
  if (node.domain) w.uint32(field(7, LENGTH_DELIMITED)).string(node.domain);
}

function writeAttribute(w: Writer, attribute: Attribute, writing: WeightWriting): void {
  const kind = (type: number): Writer => w.uint32(field(20, VARINT)).int32(type);
  if ('int' in attribute) {
    w.uint32(field(3, VARINT)).int64(attribute.int);
    kind(2);
  } else if ('float' in attribute) {
    w.uint32(field(2, FIXED32)).float(attribute.float);
    kind(1);
  } else if ('string' in attribute) {
    w.uint32(field(4, LENGTH_DELIMITED)).string(attribute.string);
    kind(3);
  } else if ('ints' in attribute) {
    for (const int of attribute.ints) w.uint32(field(8, VARINT)).int64(int);
    kind(7);
  } else {
    const { graph } = attribute;
    message(w, 6, () => writeGraph(w, graph, graph.inputs, writing)); // a loop counts them
    kind(5);
  }
}

function writeConstant(w: Writer, { value, data }: Constant): void {
  writeTensorHead(w, value.shape, ELEMENT[value.type], value.name);
  w.uint32(field(9, LENGTH_DELIMITED)).bytes(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

function writeWeight(w: Writer, { value, ref }: WeightUse, { location, offset }: WeightPlace): void {
  writeTensorHead(w, value.shape, STORED[ref.dtype], ref.dtype === 'F32' ? value.name : stored(value));
  for (const [key, text] of Object.entries({ location, offset: `${offset}`, length: `${ref.length}` })) {
    message(w, 13, () => {
      w.uint32(field(1, LENGTH_DELIMITED)).string(key);
      w.uint32(field(2, LENGTH_DELIMITED)).string(text);
    });
  }
  w.uint32(field(14, VARINT)).int32(EXTERNAL);
}

function writeTensorHead(w: Writer, shape: readonly number[], type: number, name: string): void {
  for (const size of shape) w.uint32(field(1, VARINT)).int64(size);
  w.uint32(field(2, VARINT)).int32(type);
  w.uint32(field(8, LENGTH_DELIMITED)).string(name);
}

function writeValueInfo(w: Writer, value: Value): void {
  w.uint32(field(1, LENGTH_DELIMITED)).string(value.name);
  message(w, 2, () =>
    message(w, 1, () => {
      w.uint32(field(1, VARINT)).int32(ELEMENT[value.type]);
      message(w, 2, () => {
        for (const size of value.shape) message(w, 1, () => w.uint32(field(1, VARINT)).int64(size));
      });
    }),
  );
}
