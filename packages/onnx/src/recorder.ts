import {
  type Attributes,
  type ElementType,
  Graph,
  type OutputSpec,
  sizeOf,
  typedArray,
  type Value,
} from './graph/graph.js';
import {
  identity,
  inOrder,
  inverse,
  reshapedInPlace,
  storedShape,
  transposed,
  uniform,
  type View,
  viewOf,
} from './view.js';

/** What the place where a graph will run is good at. */
export interface Target {
  /** Whether loops inside a graph run where the rest of it does. */
  readonly loops: boolean;
  /** Whether ONNX Runtime's fused operators for the CPU are there. */
  readonly fused: boolean;
  /** Whether starting a kernel costs as much as a pass over an activation, as on a GPU: then fewer kernels go before fewer sums. */
  readonly launches: boolean;
  /** Whether a second copy of the filters is small: turned around, they make a convolution's gradient half as fast again. */
  readonly roomy: boolean;
}

/** How channels-last tensors are stored between convolutions. */
const CHANNELS_FIRST = [0, 2, 3, 1];
export const TO_CHANNELS_FIRST = [0, 3, 1, 2];

/** Writes one graph, in terms of views: the helpers that all kernels share. */
export class Recorder {
  readonly graph = new Graph();
  readonly #recipes = new Map<string, () => View>();
  readonly #unshaped = new Map<string, Value>();

  constructor(readonly target: Target) {}

  /**
   * Says how to compute a tensor once more, cheaply and from something smaller, so that the backward pass need not keep it. The recipe
   * must not be the node that made it first: ONNX Runtime merges equal nodes.
   */
  remember(view: View, recipe: () => View): void {
    if (view.source.kind === 'recorded') this.#recipes.set(view.source.value.name, recipe);
  }

  /** The same numbers as `view`, computed once more where there is a recipe. */
  again(view: View): View {
    const { source } = view;
    const recipe = source.kind === 'recorded' ? this.#recipes.get(source.value.name) : undefined;
    // A recipe gives the order of axes in which the tensor was first seen.
    return recipe ? { ...view, source: recipe().source } : view;
  }

  /** A view's numbers as a graph's value, stored in the order of its axes. */
  value(view: View): Value {
    const { source, type, shape, order } = view;
    if (source.kind === 'uniform') {
      const scalar = this.graph.scalar(source.number, type);
      return shape.length === 0
        ? scalar
        : this.graph.node('Expand', [scalar, this.graph.indices(shape)], { shape, type });
    }
    const stored = inOrder(view) ? shape : storedShape(view);
    const value = this.#stored(view, stored);
    if (stored === shape) return value;
    return this.graph.node('Transpose', [value], { shape, type }, { perm: { ints: order } });
  }

  /** As {@link value}, but one number instead of many equal ones. */
  operand(view: View): Value {
    const { source, type } = view;
    return source.kind === 'uniform' ? this.graph.scalar(source.number, type) : this.value(view);
  }

  /** What is stored, seen in `shape`; the order of its elements stays. */
  #stored({ source, type }: View, shape: readonly number[]): Value {
    switch (source.kind) {
      case 'uniform':
        throw new Error('equal numbers are not stored');
      case 'numbers':
        return this.graph.constant(typedArray(type, source.data), shape, type);
      case 'weight':
        return this.graph.weight(source.ref, shape);
      case 'recorded':
        return this.inShape(source.value, shape);
    }
  }

  /** `value` seen in `shape`; what was reshaped before is reshaped once, or not at all. */
  inShape(value: Value, shape: readonly number[]): Value {
    const whole = this.unshaped(value);
    if (whole.shape.join() === shape.join()) return whole;
    const shaped = this.graph.node('Reshape', [whole, this.graph.indices(shape)], { shape, type: whole.type });
    this.#unshaped.set(shaped.name, whole);
    return shaped;
  }

  /** What was reshaped to give `value`, in the shape that it was made in. */
  unshaped(value: Value): Value {
    return this.#unshaped.get(value.name) ?? value;
  }

  reshape(view: View, shape: readonly number[]): View {
    if (view.shape.join() === shape.join()) return view;
    if (view.source.kind === 'uniform') return { ...view, shape, order: identity(shape.length) };
    const inPlace = reshapedInPlace(view, shape);
    if (!inPlace) return viewOf(this.inShape(this.value(view), shape));
    const { stored, order } = inPlace;
    const { source, type } = view;
    if (source.kind !== 'recorded') return { source, type, shape, order };
    return { source: { kind: 'recorded', value: this.inShape(source.value, stored) }, type, shape, order };
  }

  /** `[B, ..., C]` stored as `[B, C, ...]`. */
  channelsFirst(view: View): Value {
    const rank = view.shape.length;
    return this.value(transposed(view, [0, rank - 1, ...identity(rank).slice(1, -1)]));
  }

  /** A view `[B, ..., C]` of something stored as `[B, C, ...]`. */
  fromChannelsFirst(value: Value): View {
    const rank = value.shape.length;
    return viewOf(value, [0, ...identity(rank).slice(2), 1]);
  }

  /** `view`, which broadcasts to `rank` axes, in the given stored order. */
  aligned(view: View, order: readonly number[]): Value {
    if (view.source.kind === 'uniform') return this.operand(view);
    if (view.shape.length === 0) return this.value(view);
    const missing = order.length - view.shape.length;
    const full = missing === 0 ? view : this.reshape(view, [...Array<number>(missing).fill(1), ...view.shape]);
    return this.value(transposed(full, inverse(order)));
  }

  /** An operator that works element by element on views which broadcast; it keeps the order in which they are stored. */
  elementwise(op: string, views: readonly View[], output: OutputSpec, attributes: Attributes = {}, domain = ''): View {
    const order = commonOrder(views, output.shape);
    const shape = inverse(order).map((axis) => output.shape[axis] ?? 1);
    const covered = covers(views.filter(isStored), output.shape);
    const inputs = views.map((view) => {
      // One number stands for all equal ones, unless nothing else makes the result as large as it is.
      const whole = !covered && !isStored(view) && view.shape.join() === output.shape.join();
      return whole ? this.value({ ...view, shape }) : this.aligned(view, order);
    });
    return viewOf(this.graph.node(op, inputs, { ...output, shape }, attributes, domain), order);
  }

  cast(view: View, type: ElementType): View {
    if (view.type === type) return view;
    if (view.source.kind === 'uniform') {
      const { number } = view.source;
      const converted = type === 'bool' ? Number(number !== 0) : type === 'float32' ? number : Math.trunc(number);
      return uniform(converted, view.shape, type);
    }
    const to = { float32: 1, int32: 6, int64: 7, bool: 9 }[type];
    return this.elementwise('Cast', [view], { shape: view.shape, type }, { to: { int: to } });
  }
}

/** The order of the largest view; among equals one with the channels first, because a convolution is near. */
function commonOrder(views: readonly View[], shape: readonly number[]): readonly number[] {
  const full = views.filter((view) => view.source.kind !== 'uniform' && view.shape.length === shape.length);
  const largest = Math.max(...full.map((view) => sizeOf(view.shape)));
  const candidates = full.filter((view) => sizeOf(view.shape) === largest);
  const chosen = candidates.find(({ order }) => order.join() === CHANNELS_FIRST.join()) ?? candidates[0];
  return chosen?.order ?? identity(shape.length);
}

const isStored = ({ source }: View): boolean => source.kind !== 'uniform';

/** Whether broadcasting `views` gives all of `shape`. */
function covers(views: readonly View[], shape: readonly number[]): boolean {
  return shape.every((size, i) => size === 1 || views.some((view) => view.shape.at(i - shape.length) === size));
}
