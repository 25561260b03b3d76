import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { readTorchFile, type TorchValue } from './torch-file.js';
import { writeTorchFile } from './torch-write.js';

type Piece = number | string | Piece[];
/** Bytes of a pickle: opcodes as numbers, text as it is. */
const pickle = (...pieces: Piece[]): Uint8Array =>
  Uint8Array.from(
    (pieces.flat(9) as (number | string)[]).flatMap((piece) =>
      typeof piece === 'number' ? [piece] : [...new TextEncoder().encode(piece)],
    ),
  );
const u32 = (value: number) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >>> 24) & 255];
const text = (value: string): Piece => ['X', u32(value.length), value];
const int = (value: number): Piece => ['J', u32(value)];
const tuple = (...items: Piece[]): Piece => ['(', items, 't'];
const global = (module: string, name: string): Piece => `c${module}\n${name}\n`;
const storage = (type: string, key: string, count: number): Piece => [
  tuple(text('storage'), global('torch', type), text(key), text('cpu'), int(count)),
  'Q',
];
const tensor = (shape: number[], strides: number[], offset = 0, type = 'FloatStorage', count = 4): Piece => [
  global('torch._utils', '_rebuild_tensor_v2'),
  tuple(storage(type, '0', count), int(offset), tuple(...shape.map(int)), tuple(...strides.map(int)), 0x89, 'N'),
  'R',
];
const archive = (data: Uint8Array, numbers = new Uint8Array(16), level: 0 | 9 = 0): Uint8Array =>
  zipSync({ 'archive/data.pkl': data, 'archive/data/0': numbers }, { level });
const read = (...pieces: Piece[]) => readTorchFile(archive(pickle(0x80, 2, pieces, '.')), 'x.pt');
const code = (expected: string) => expect.objectContaining({ code: expected });

describe('readTorchFile', () => {
  it('reads views: offsets, strides, no numbers at all', () => {
    const numbers = Float32Array.of(0, 1, 2, 3);
    const open = (value: Piece) =>
      readTorchFile(archive(pickle(0x80, 2, value, '.'), new Uint8Array(numbers.buffer)), 'x.pt');
    expect(open(tensor([2, 2], [1, 2]))).toEqual({ data: Float32Array.of(0, 2, 1, 3), shape: [2, 2] });
    expect(open(tensor([2], [2], 1))).toEqual({ data: Float32Array.of(1, 3), shape: [2] });
    expect(open(tensor([3], [0], 2))).toEqual({ data: Float32Array.of(2, 2, 2), shape: [3] });
    expect(open(tensor([], [], 3))).toEqual({ data: Float32Array.of(3), shape: [] });
    expect(open(tensor([0, 9], [9, 1]))).toEqual({ data: new Float32Array(), shape: [0, 9] });
  });

  it.each<[string, Piece]>([
    ['os.system', [global('os', 'system'), tuple(text('true')), 'R']],
    ['builtins.eval', [text('builtins'), text('eval'), 0x93, tuple(text('1')), 'R']],
    ['torch.load', ['(', 'itorch\nload\n']],
    ['torch._utils.__dict__', global('torch._utils', '__dict__')],
    ['constructor.constructor', global('constructor', 'constructor')],
  ])('refuses to know %s', (name, piece) => {
    expect(() => read(piece)).toThrow(
      expect.objectContaining({ code: 'CONCEPT_UNSAFE', details: expect.objectContaining({ name }) }),
    );
  });

  it.each<[string, Piece]>([
    ['a tensor larger than its storage', tensor([5], [1])],
    ['a tensor that ends outside', tensor([2], [4])],
    ['a tensor that begins outside', tensor([1], [1], 4)],
    ['a shape without end', tensor([0x7fffffff, 0x7fffffff, 0x7fffffff], [0, 0, 0])],
    ['a negative shape', tensor([-1], [1])],
    ['a negative stride', tensor([2], [-1], 1)],
    ['a shape of many sizes', tensor(Array(5000).fill(1), Array(5000).fill(0))],
    ['fewer strides than sizes', tensor([2, 2], [1])],
    ['an unknown kind of storage', [tuple(text('module2'), 'N'), 'Q']],
    ['a length that goes backwards', ['B', u32(-5), '.']],
    ['a length beyond the end', ['X', u32(0x7fffffff)]],
    ['a call of a value', [text('a'), tuple(), 'R']],
    ['a constructor without what it needs', [global('torch._utils', '_rebuild_tensor_v2'), tuple(), 'R']],
    ['an empty stack', 'R'],
    ['what was never kept', ['h', 0]],
    ['an end without a beginning', 't'],
    ['an item of what is no list', [text('a'), 'N', 'a']],
    ['an entry of what is no dictionary', [']', text('a'), 'N', 's']],
    ['a list as the name of a storage', [tuple(text('storage'), global('torch', 'FloatStorage'), ']'), 'Q']],
    ['no end', []],
  ])('refuses %s', (_, piece) => {
    const bytes = archive(pickle(0x80, 2, piece, _ === 'no end' ? [] : '.'));
    expect(() => readTorchFile(bytes, 'x.pt')).toThrow(code('CONCEPT_FORMAT'));
  });

  it('refuses lists that hold themselves or each other without end', () => {
    expect(() => read(']', 'q', 0, 'h', 0, 'a')).toThrow(code('CONCEPT_FORMAT'));
    // Thirty lists, each holding the one before twice: a thousand million values in two hundred bytes.
    const doubled = Array.from({ length: 30 }, (_, i) => [']', '(', 'h', i, 'h', i, 'e', 'q', i + 1]);
    expect(() => read(']', 'q', 0, '0', doubled)).toThrow(code('CONCEPT_FORMAT'));
  });

  it('refuses the same numbers over and over', () => {
    const many = new Uint8Array(8 * 1024 * 1024);
    const view = [tensor([many.length], [1], 0, 'ByteStorage', many.length), 'q', 7];
    const bytes = archive(pickle(0x80, 2, ']', '(', view, Array(100).fill(['h', 7]), 'e', '.'), many);
    expect(() => readTorchFile(bytes, 'x.pt')).toThrow(code('CONCEPT_FORMAT'));
  });

  it('refuses to change what was made: a view after it was checked, the length of a list', () => {
    const state = (key: string, value: Piece) => ['}', text(key), value, 's', 'b'];
    const strides = [']', int(-1), 'a'];
    expect(() => read(tensor([4], [1]), state('strides', strides))).toThrow(code('CONCEPT_FORMAT'));
    expect(() => read(']', state('length', int(0x7fffffff)))).toThrow(code('CONCEPT_FORMAT'));
    expect(() => read(global('torch', 'FloatStorage'), state('dtype', text('U8')))).toThrow(code('CONCEPT_FORMAT'));
  });

  it('refuses to copy the same entries over and over', () => {
    const ordered = [global('collections', 'OrderedDict'), 'q', 0];
    const pairs = [']', '(', Array.from({ length: 5000 }, (_, i) => [int(i), 'N', 0x86]), 'e', 'q', 1];
    const copies = Array(1000).fill(['h', 0, 'h', 1, 0x85, 'R']);
    expect(() => read(']', ordered, '0', pairs, '0', '(', copies, 'e')).toThrow(code('CONCEPT_FORMAT'));
    const parameters = [
      '}',
      text('_parameters'),
      '}',
      '(',
      Array.from({ length: 5000 }, (_, i) => [int(i), 'N']),
      'u',
      's',
    ];
    const dictionary = [global('torch.nn.modules.container', 'ParameterDict'), ')', 0x81];
    const states = Array(1000).fill([dictionary, 'h', 2, 'b', '0']);
    expect(() => read(parameters, 'q', 2, '0', states, 'N')).toThrow(code('CONCEPT_FORMAT'));
  });

  it('refuses keys that would be text without end', () => {
    const doubled = Array.from({ length: 30 }, (_, i) => [']', '(', 'h', i, 'h', i, 'e', 'q', i + 1, '0']);
    const bytes = archive(pickle(0x80, 2, ']', 'q', 0, '0', doubled, '}', 'h', 30, 'N', 's', '.'));
    expect(() => readTorchFile(bytes, 'x.pt')).toThrow(code('CONCEPT_FORMAT'));
  });

  it('reads dictionaries of every kind, and what protocols 2 to 5 write', () => {
    const pair = [text('a'), int(1), 0x86];
    const map = new Map<string, TorchValue>([['a', 1]]);
    expect(read(global('collections', 'OrderedDict'), ']', pair, 'a', 0x85, 'R')).toEqual(map);
    // What a network's state knows beside its entries.
    const metadata = ['}', text('_metadata'), '}', 's', 'b'];
    expect(read(global('collections', 'OrderedDict'), ')', 'R', text('a'), int(1), 's', metadata)).toEqual(map);
    const parameters = ['}', text('_parameters'), '}', text('a'), int(1), 's', 's', 'b'];
    expect(read(global('torch.nn.modules.container', 'ParameterDict'), ')', 0x81, parameters)).toEqual(map);
    const short = (value: string): Piece => [0x8c, value.length, value];
    const frame = [0x95, u32(40), u32(0)];
    expect(read(frame, '}', 0x94, short('a'), 'M', 1, 1, 's', short('long'), 0x8a, 2, 0xff, 0x7f, 's')).toEqual(
      new Map([
        ['a', 257],
        ['long', 32767],
      ]),
    );
    expect(read(']', 0x8a, 1, 0xff, 'a', 0x8a, 0, 'a', 'K', 7, '2', '0', 'a', 'U', 1, 'x', 'a')).toEqual([
      -1,
      0,
      7,
      'x',
    ]);
    expect(read(short('collections'), short('OrderedDict'), 0x93, ')', 'R')).toEqual(new Map());
  });

  it('refuses archives that grow', () => {
    const data = pickle(0x80, 2, tensor([4], [1]), '.');
    expect(() => readTorchFile(archive(data, new Uint8Array(2 ** 20), 9), 'x.pt')).toThrow(code('CONCEPT_FORMAT'));
    // Every entry of the directory points at the same bytes.
    const names = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`e/${100 + i}`, new Uint8Array(1000 - i)]));
    const bytes = zipSync({ 'e/data.pkl': data, ...names }, { level: 0 });
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < bytes.length - 46; at++) {
      if (view.getUint32(at, true) !== 0x02014b50) continue;
      for (const field of [20, 24]) view.setUint32(at + field, 40_000, true);
      view.setUint32(at + 42, 0, true);
    }
    expect(() => readTorchFile(bytes, 'x.pt')).toThrow(code('CONCEPT_FORMAT'));
  });

  it('refuses what is no PyTorch file', () => {
    for (const bytes of [
      new Uint8Array(),
      pickle('PK'),
      pickle('hello, world, this is text'),
      zipSync({ a: pickle('b') }),
    ])
      expect(() => readTorchFile(bytes, 'x.pt')).toThrow(code('CONCEPT_FORMAT'));
  });
});

describe('writeTorchFile', () => {
  it('writes what it reads', () => {
    const value = new Map<string, TorchValue>([
      ['<ü>', { data: Float32Array.of(1, 2, 3, 4, 5, 6), shape: [3, 2] }],
      ['numbers', [0, -1, 265, 2 ** 31, 0.5]],
      [
        'others',
        new Map<string, TorchValue>([
          ['nothing', null],
          ['yes', true],
          ['no', false],
        ]),
      ],
    ]);
    expect(readTorchFile(writeTorchFile(value), 'x.pt')).toEqual(value);
    expect(writeTorchFile(value)).toEqual(writeTorchFile(value));
  });
});
