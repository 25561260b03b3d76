import { mersenne, mersenneFromState } from 'pure-rand/generator/mersenne';
import { TextualInversionError } from './errors.js';

/** A generator's position, for exact resuming. JSON keeps it to the bit. */
export interface GeneratorState {
  readonly twister: readonly number[];
  /** The second of a pair of normals, not handed out yet. */
  readonly spareNormal: number | null;
}

/** Draws this long or longer are made in blocks of 16 by the reference. */
const BLOCK = 16;

/**
 * A seeded generator that gives the numbers PyTorch's CPU generator gives, so that a seed means the same picture.
 * One call here is one call there: `normal(5)` twice differs from `normal(10)`, as it does in PyTorch.
 * @see PyTorch, aten/src/ATen/native/cpu/DistributionTemplates.h and ATen/core/DistributionsHelper.h
 */
export class Generator {
  private readonly twister: ReturnType<typeof mersenne>;
  private spareNormal: number | null;

  /** @param seed - A whole number of at least 0; its low 32 bits count, as in PyTorch. */
  constructor(seed: number | bigint, state?: GeneratorState) {
    const whole = typeof seed === 'bigint' ? seed >= 0n : Number.isSafeInteger(seed) && seed >= 0;
    if (!whole) {
      throw new TextualInversionError('OPTION_INVALID', {
        where: 'seed',
        expected: `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`,
        found: String(seed),
      });
    }
    this.twister = state ? mersenneFromState(state.twister) : mersenne(Number(BigInt.asUintN(32, BigInt(seed))));
    this.spareNormal = state?.spareNormal ?? null;
  }

  static fromState(state: GeneratorState): Generator {
    return new Generator(0, state);
  }

  state(): GeneratorState {
    return { twister: [...this.twister.getState()], spareNormal: this.spareNormal };
  }

  /** `count` standard normals, as one `torch.randn(count)`. */
  normal(count: number): Float32Array {
    const out = new Float32Array(count);
    if (count < BLOCK) {
      for (let i = 0; i < count; i++) out[i] = this.scalarNormal();
      return out;
    }
    for (let i = 0; i < count; i++) out[i] = this.uniform24();
    for (let i = 0; i + BLOCK <= count; i += BLOCK) boxMuller(out.subarray(i, i + BLOCK));
    if (count % BLOCK !== 0) {
      // A ragged end: the last 16 are drawn again, over what the blocks left there.
      const tail = out.subarray(count - BLOCK);
      for (let i = 0; i < BLOCK; i++) tail[i] = this.uniform24();
      boxMuller(tail);
    }
    return out;
  }

  /** `count` whole numbers of `[low, high)`, as one `torch.randint(low, high, (count,))`. */
  integers(low: number, high: number, count: number): Int32Array {
    return Int32Array.from({ length: count }, () => low + (this.bits32() % (high - low)));
  }

  /** One number of `[0, 1)`, as one `torch.rand(1, dtype=torch.float64)`. */
  uniform(): number {
    const high = BigInt(this.bits32());
    const bits = ((high << 32n) | BigInt(this.bits32())) & ((1n << 53n) - 1n);
    return Number(bits) * 2 ** -53;
  }

  private bits32(): number {
    return this.twister.next() >>> 0;
  }

  private uniform24(): number {
    return (this.bits32() & 0xffffff) * 2 ** -24;
  }

  private scalarNormal(): number {
    if (this.spareNormal !== null) {
      const spare = this.spareNormal;
      this.spareNormal = null;
      return spare;
    }
    const angle = 2 * Math.PI * this.uniform();
    const radius = Math.sqrt(-2 * Math.log1p(-this.uniform()));
    this.spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

/** Turns 16 uniforms into 16 normals in place: the first eight are radii, the other eight angles. */
function boxMuller(block: Float32Array): void {
  for (let i = 0; i < BLOCK / 2; i++) {
    const radius = Math.sqrt(-2 * Math.log(Math.fround(1 - (block[i] ?? 0))));
    const angle = 2 * Math.PI * (block[i + BLOCK / 2] ?? 0);
    block[i] = radius * Math.cos(angle);
    block[i + BLOCK / 2] = radius * Math.sin(angle);
  }
}
