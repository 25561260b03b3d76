import type { TensorRef } from '@textual-inversion/core';

/** Element types that graphs compute with. */
export type ElementType = 'float32' | 'int32' | 'int64' | 'bool';

/** One attribute of a node; ONNX tells whole numbers from others, JavaScript does not. */
export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly string: string }
  | { readonly graph: Graph };
export type Attributes = Readonly<Record<string, Attribute>>;

/** A tensor that flows through a graph; its numbers are known only when the graph runs. */
export interface Value {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
}

export interface Node {
  readonly op: string;
  /** `''` is ONNX's own set of operators. */
  readonly domain: string;
  /** `undefined` leaves out an optional input. */
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  readonly attributes: Attributes;
}

/** Numbers that are part of the graph. */
export interface Constant {
  readonly value: Value;
  readonly data: Float32Array | Int32Array | BigInt64Array | Uint8Array;
}

/** Numbers that stay in a checkpoint's file. */
export interface WeightUse {
  readonly value: Value;
  readonly ref: TensorRef;
}

/** Numbers that are known, yet handed over with every run: a session folds nothing that depends on them. */
export interface Given {
  readonly value: Value;
  readonly data: Float32Array | BigInt64Array;
}

/** What a node makes: one entry per output. */
export interface OutputSpec {
  readonly shape: readonly number[];
  readonly type?: ElementType;
}

/** Operators of ONNX Runtime's own set. */
export const MICROSOFT = 'com.microsoft';

/**
 * A graph being written. The same node on the same inputs is made once, and so is each constant, so recording may repeat itself
 * freely.
 */
export class Graph {
  readonly nodes: Node[] = [];
  readonly inputs: Value[] = [];
  readonly outputs: Value[] = [];
  readonly constants: Constant[] = [];
  readonly weights: WeightUse[] = [];
  readonly given: Given[] = [];
  readonly #known = new Map<string, readonly Value[]>();
  #count = 0;

  /** @param parent - A loop's body takes names that its surroundings do not. */
  constructor(private readonly parent?: Graph) {}

  #name(): string {
    if (this.parent) return this.parent.#name();
    return `v${this.#count++}`;
  }

  input(name: string, shape: readonly number[], type: ElementType = 'float32'): Value {
    const value = { name, type, shape };
    this.inputs.push(value);
    return value;
  }

  /** An input of a loop's body. */
  parameter(shape: readonly number[]): Value {
    return this.input(this.#name(), shape);
  }

  /** Declares an output. A value that is an input too, or an output already, is copied to have a name of its own. */
  output(value: Value, name?: string): void {
    const { shape, type } = value;
    const renamed = { name: name ?? this.#name(), shape, type };
    this.nodes.push({ op: 'Identity', domain: '', inputs: [value], outputs: [renamed], attributes: {} });
    this.outputs.push(renamed);
  }

  constant(data: Constant['data'], shape: readonly number[], type: ElementType): Value {
    // Large ones are rare, and comparing them by content would cost more than it saves.
    const key = data.length <= 64 ? `c|${type}|${shape.join()}|${data.join()}` : `c${this.constants.length}`;
    return this.#once(key, () => {
      const value = { name: this.#name(), type, shape };
      this.constants.push({ value, data });
      return value;
    });
  }

  scalar(number: number, type: ElementType = 'float32'): Value {
    return this.constant(typedArray(type, [number]), [], type);
  }

  /** Whole numbers as shapes and axes want them. */
  indices(numbers: readonly number[]): Value {
    return this.constant(BigInt64Array.from(numbers, BigInt), [numbers.length], 'int64');
  }

  floats(numbers: ArrayLike<number>, shape: readonly number[] = [numbers.length]): Value {
    return this.constant(Float32Array.from(numbers), shape, 'float32');
  }

  /** See {@link Given}. */
  givenNumbers(
    type: 'float32' | 'int64',
    numbers: readonly number[],
    shape: readonly number[] = [numbers.length],
  ): Value {
    return this.#once(`g|${type}|${shape.join()}|${numbers.join()}`, () => {
      const value = this.input(this.#name(), shape, type);
      this.given.push({
        value,
        data: type === 'int64' ? BigInt64Array.from(numbers, BigInt) : Float32Array.from(numbers),
      });
      return value;
    });
  }

  /** A tensor of a checkpoint, looked at in `shape`. */
  weight(ref: TensorRef, shape: readonly number[]): Value {
    const { source, offset, dtype } = ref;
    return this.#once(`w|${source.path ?? source.name}|${offset}|${dtype}|${ref.name}|${shape.join()}`, () => {
      const value: Value = { name: this.#name(), type: 'float32', shape };
      this.weights.push({ value, ref });
      return value;
    });
  }

  /** Adds a node with one output. */
  node(
    op: string,
    inputs: readonly (Value | undefined)[],
    output: OutputSpec,
    attributes: Attributes = {},
    domain = '',
  ): Value {
    const [value] = this.multi(op, inputs, [output], attributes, domain);
    if (!value) throw new Error(`${op} has no output`);
    return value;
  }

  multi(
    op: string,
    inputs: readonly (Value | undefined)[],
    outputs: readonly OutputSpec[],
    attributes: Attributes = {},
    domain = '',
  ): readonly Value[] {
    const make = (): readonly Value[] => {
      const values = outputs.map(({ shape, type = 'float32' }) => ({ name: this.#name(), type, shape }));
      this.nodes.push({ op, domain, inputs, outputs: values, attributes });
      return values;
    };
    if (Object.values(attributes).some((attribute) => 'graph' in attribute)) return make();
    const shapes = outputs.map(({ shape }) => shape.join());
    const names = inputs.map((input) => input?.name ?? '');
    const key = ['n', domain, op, names, JSON.stringify(attributes), ...shapes].join('|');
    const values = this.#known.get(key) ?? make();
    this.#known.set(key, values);
    return values;
  }

  #once(key: string, make: () => Value): Value {
    const [value = make()] = this.#known.get(key) ?? [];
    this.#known.set(key, [value]);
    return value;
  }
}

export function typedArray(type: ElementType, numbers: ArrayLike<number>): Constant['data'] {
  switch (type) {
    case 'float32':
      return Float32Array.from(numbers);
    case 'int32':
      return Int32Array.from(numbers);
    case 'int64':
      return BigInt64Array.from(Array.from(numbers), BigInt);
    case 'bool':
      return Uint8Array.from(numbers);
  }
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
