/** What a pickle may name. A pickle is a program; this is all that it can call. */
export interface PickleNames {
  /** What stands in for `module.name`. Throws for a name that is not known. */
  find(module: string, name: string): StandIn;
  /** What stands in for something that lies outside the pickle. */
  persistent(id: unknown): unknown;
  /** Gives a made object the state that it had. Throws for an object that takes none. */
  setState(object: unknown, state: unknown): void;
}

/** Something that is called by a pickle. It may keep its arguments, and must not take longer than they are long. */
export class StandIn {
  constructor(readonly call: (args: readonly unknown[]) => unknown) {}
}

/** Opcodes of the binary protocols, 1 to 5: see Python's `pickletools`. */
export const OP = {
  protocol: 0x80,
  frame: 0x95,
  stop: 0x2e,
  none: 0x4e,
  true: 0x88,
  false: 0x89,
  int: 0x4a,
  byte: 0x4b,
  short: 0x4d,
  long: 0x8a,
  float: 0x47,
  text: 0x58,
  shortText: 0x8c,
  ascii: 0x54,
  shortAscii: 0x55,
  bytes: 0x42,
  shortBytes: 0x43,
  mark: 0x28,
  pop: 0x30,
  popMark: 0x31,
  duplicate: 0x32,
  emptyTuple: 0x29,
  tuple: 0x74,
  tuple1: 0x85,
  tuple2: 0x86,
  tuple3: 0x87,
  emptyList: 0x5d,
  append: 0x61,
  appends: 0x65,
  emptyMap: 0x7d,
  setItem: 0x73,
  setItems: 0x75,
  emptySet: 0x8f,
  addItems: 0x90,
  put: 0x71,
  longPut: 0x72,
  memoize: 0x94,
  get: 0x68,
  longGet: 0x6a,
  global: 0x63,
  stackGlobal: 0x93,
  instance: 0x69,
  call: 0x52,
  newObject: 0x81,
  build: 0x62,
  persistent: 0x51,
} as const;

/**
 * Reads pickles, one after the other. Each opcode takes as long as its bytes and what it takes off the stack, so a pickle of N bytes
 * costs no more than about a hundred times N, whatever it says. Its value may hold itself, and the same thing many times.
 */
export class PickleReader {
  /** Bytes read so far. */
  position = 0;
  private stack: unknown[] = [];
  private marks: unknown[][] = [];
  private memo = new Map<number, unknown>();
  private readonly view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly names: PickleNames,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The next pickle's value: tuples, lists and sets as arrays, dictionaries as maps, and whatever the names gave. @throws Error, and what the names throw */
  next(): unknown {
    [this.stack, this.marks, this.memo] = [[], [], new Map()];
    for (let opcode = this.uint(1); opcode !== OP.stop; opcode = this.uint(1)) this.step(opcode);
    return this.pop();
  }

  private step(opcode: number): void {
    const { stack } = this;
    switch (opcode) {
      case OP.protocol:
        return void this.uint(1);
      case OP.frame:
        return void this.take(8);
      case OP.none:
        return void stack.push(null);
      case OP.true:
      case OP.false:
        return void stack.push(opcode === OP.true);
      case OP.int:
        return void stack.push(this.uint(4) | 0);
      case OP.byte:
        return void stack.push(this.uint(1));
      case OP.short:
        return void stack.push(this.uint(2));
      case OP.long:
        return void stack.push(signed(this.take(this.uint(1))));
      case OP.float: {
        const at = this.position;
        this.take(8);
        return void stack.push(this.view.getFloat64(at));
      }
      case OP.text:
      case OP.ascii:
        return void stack.push(text(this.take(this.uint(4))));
      case OP.shortText:
      case OP.shortAscii:
        return void stack.push(text(this.take(this.uint(1))));
      case OP.bytes:
        return void stack.push(this.take(this.uint(4)));
      case OP.shortBytes:
        return void stack.push(this.take(this.uint(1)));
      case OP.mark:
        this.marks.push(stack);
        this.stack = [];
        return;
      case OP.pop:
        return void this.pop();
      case OP.popMark:
        return void this.sinceMark();
      case OP.duplicate:
        return void stack.push(this.top());
      case OP.tuple: {
        const items = this.sinceMark();
        return void this.stack.push(items);
      }
      case OP.tuple1:
      case OP.tuple2:
      case OP.tuple3:
        return void stack.push(this.last(opcode - OP.tuple1 + 1));
      case OP.emptyTuple:
      case OP.emptyList:
      case OP.emptySet:
        return void stack.push([]);
      case OP.append: {
        const item = this.pop();
        return void this.array().push(item);
      }
      case OP.appends:
      case OP.addItems: {
        const items = this.sinceMark();
        const list = this.array();
        for (const item of items) list.push(item);
        return;
      }
      case OP.emptyMap:
        return void stack.push(new Map());
      case OP.setItem:
        return this.setItems(this.last(2));
      case OP.setItems:
        return this.setItems(this.sinceMark());
      case OP.put:
      case OP.longPut:
        return void this.memo.set(this.uint(opcode === OP.put ? 1 : 4), this.top());
      case OP.memoize:
        return void this.memo.set(this.memo.size, this.top());
      case OP.get:
      case OP.longGet: {
        const index = this.uint(opcode === OP.get ? 1 : 4);
        if (!this.memo.has(index)) throw new Error('something that was never kept');
        return void stack.push(this.memo.get(index));
      }
      case OP.global: {
        const module = this.line();
        return void stack.push(this.names.find(module, this.line()));
      }
      case OP.stackGlobal: {
        const [module, name] = this.last(2);
        if (typeof module !== 'string' || typeof name !== 'string') throw new Error('a name that is no text');
        return void stack.push(this.names.find(module, name));
      }
      case OP.instance: {
        const module = this.line();
        const made = this.names.find(module, this.line());
        const args = this.sinceMark();
        return void this.stack.push(made.call(args));
      }
      case OP.call:
      case OP.newObject: {
        const [called, args] = this.last(2);
        if (!(called instanceof StandIn) || !Array.isArray(args)) throw new Error('a call of something else');
        return void stack.push(called.call(args as unknown[]));
      }
      case OP.build: {
        const state = this.pop();
        return this.names.setState(this.top(), state);
      }
      case OP.persistent:
        return void stack.push(this.names.persistent(this.pop()));
      default:
        throw new Error(`an opcode of ${opcode}`);
    }
  }

  private top(): unknown {
    if (this.stack.length === 0) throw new Error('an empty stack');
    return this.stack[this.stack.length - 1];
  }

  private pop(): unknown {
    const top = this.top();
    this.stack.pop();
    return top;
  }

  private last(count: number): unknown[] {
    if (this.stack.length < count) throw new Error('an empty stack');
    return this.stack.splice(-count);
  }

  private sinceMark(): unknown[] {
    const items = this.stack;
    const before = this.marks.pop();
    if (!before) throw new Error('an end without a beginning');
    this.stack = before;
    return items;
  }

  private array(): unknown[] {
    const list = this.top();
    if (!Array.isArray(list)) throw new Error('an item of what is no list');
    return list as unknown[];
  }

  private setItems(items: readonly unknown[]): void {
    const map = this.top();
    if (!(map instanceof Map) || items.length % 2 !== 0) throw new Error('an entry of what is no dictionary');
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  }

  private take(length: number): Uint8Array {
    const taken = this.bytes.subarray(this.position, this.position + length);
    if (taken.length !== length) throw new Error('an early end');
    this.position += length;
    return taken;
  }

  /** 1, 2 or 4 bytes, the lowest first. */
  private uint(length: 1 | 2 | 4): number {
    return this.take(length).reduceRight((value, byte) => value * 256 + byte, 0);
  }

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0) throw new Error('an early end');
    const line = text(this.take(end - this.position));
    this.position++;
    return line;
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Two's complement of any length, the lowest byte first. */
function signed(bytes: Uint8Array): number {
  const value = bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
  return (bytes.at(-1) ?? 0) < 128 ? value : value - 256 ** bytes.length;
}
