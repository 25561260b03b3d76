import type { Batched, HostTensor } from '@textual-inversion/core';

type Tensors = Readonly<Record<string, HostTensor>>;

/**
 * Divides a batch into equal parts.
 * @param most - How many parts at the most; it becomes the largest number of them that leaves nothing over.
 * @returns The inputs of each part; what all entries share goes to every one.
 */
export function divided(inputs: Tensors, { shared = [] }: Batched, most: number): Tensors[] {
  const [first] = Object.entries(inputs).filter(([name]) => !shared.includes(name));
  const size = first?.[1].shape[0] ?? 1;
  let parts = Math.min(most, size);
  while (size % parts !== 0) parts--;
  return Array.from({ length: parts }, (_, part) =>
    Object.fromEntries(
      Object.entries(inputs).map(([name, tensor]) => [name, shared.includes(name) ? tensor : cut(tensor, part, parts)]),
    ),
  );
}

function cut({ data, shape: [size = 1, ...shape] }: HostTensor, part: number, parts: number): HostTensor {
  const length = data.length / parts;
  return { data: data.slice(part * length, (part + 1) * length), shape: [size / parts, ...shape] };
}

/** The outputs of a batch from those of its parts. */
export function together(outputs: readonly Tensors[], { means = [] }: Batched): Record<string, HostTensor> {
  const join = (name: string): HostTensor => {
    const parts = outputs.map((of) => of[name] ?? { data: new Float32Array(), shape: [] });
    return means.includes(name) ? mean(parts) : stacked(parts);
  };
  return Object.fromEntries(Object.keys(outputs[0] ?? {}).map((name) => [name, join(name)]));
}

function mean(parts: readonly HostTensor[]): HostTensor {
  const [{ data, shape }, ...others] = parts as [HostTensor, ...HostTensor[]];
  return {
    data: data.map((value, i) => others.reduce((sum, part) => sum + (part.data[i] ?? 0), value) / parts.length),
    shape,
  };
}

function stacked(parts: readonly HostTensor[]): HostTensor {
  const [size = 1, ...shape] = parts[0]?.shape ?? [];
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  parts.reduce((at, part) => (data.set(part.data, at), at + part.data.length), 0);
  return { data, shape: [size * parts.length, ...shape] };
}
