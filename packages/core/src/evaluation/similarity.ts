/** A vector of length 1 in the same direction. */
export function normalized(vector: Float32Array): Float32Array {
  const length = Math.sqrt(dot(vector, vector)) || 1;
  return vector.map((value) => value / length);
}

/** The direction between several. */
export function meanDirection(directions: readonly Float32Array[]): Float32Array {
  const [first = new Float32Array()] = directions;
  return normalized(first.map((_, k) => directions.reduce((sum, direction) => sum + (direction[k] ?? 0), 0)));
}

/** Mean cosine similarity of every direction of one list with every one of another. */
export function meanSimilarity(some: readonly Float32Array[], others: readonly Float32Array[]): number {
  const sum = some.reduce((total, a) => total + others.reduce((inner, b) => inner + dot(a, b), 0), 0);
  return sum / (some.length * others.length);
}

/** Mean cosine similarity of every two different directions of a list; undefined for fewer than two. */
export function meanSimilarityWithin(directions: readonly Float32Array[]): number | undefined {
  const count = directions.length;
  if (count < 2) return undefined;
  const withItself = directions.reduce((sum, direction) => sum + dot(direction, direction), 0);
  return (meanSimilarity(directions, directions) * count * count - withItself) / (count * (count - 1));
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, k) => sum + value * (b[k] ?? 0), 0);
}
