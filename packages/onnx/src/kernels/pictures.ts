import { TextualInversionError } from '@textual-inversion/core';
import type { Attributes } from '../graph/graph.js';
import type { Recorder } from '../recorder.js';
import { transposed, type View } from '../view.js';
import { activated } from './activations.js';
import { add } from './elementwise.js';
import type { KernelAttributes, KernelTable } from './kernel.js';
import { reverse } from './shapes.js';
import { winograd } from './winograd.js';

/** Zeros on the four sides, as ONNX wants them: top, left, bottom, right. */
type OnnxPads = readonly [number, number, number, number];

const pair = (value: number | readonly [number, number]): readonly [number, number] =>
  typeof value === 'number' ? [value, value] : value;

/** TensorFlow's 'same' puts the odd zero behind. */
function padsOf(
  { pad }: Pick<KernelAttributes, 'pad'>,
  size: readonly [number, number],
  kernel: readonly [number, number],
  stride: readonly [number, number],
): OnnxPads {
  if (pad === 'valid') return [0, 0, 0, 0];
  if (typeof pad === 'number') return [pad, pad, pad, pad];
  if (pad !== 'same') {
    const [, [top, bottom] = [0, 0], [left, right] = [0, 0]] = pad;
    return [top, left, bottom, right];
  }
  const [height, width] = [0, 1].map((axis) => {
    const [length = 0, k = 1, s = 1] = [size[axis], kernel[axis], stride[axis]];
    return Math.max((Math.ceil(length / s) - 1) * s + k - length, 0);
  });
  const [h = 0, w = 0] = [height, width];
  return [Math.floor(h / 2), Math.floor(w / 2), Math.ceil(h / 2), Math.ceil(w / 2)];
}

function conv2d(r: Recorder, x: View, filter: View, attributes: KernelAttributes, bias?: View): View {
  const { strides, dilations, dataFormat } = attributes;
  if (dataFormat === 'NCHW') throw unsupported('Conv2D', 'channels last', dataFormat);
  const [batch = 1, height = 1, width = 1] = x.shape;
  const [kh = 1, kw = 1, , outputs = 1] = filter.shape;
  const [stride, dilation] = [pair(strides), pair(dilations ?? 1)];
  const reach = [(kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1] as const;
  const pads = padsOf(attributes, [height, width], reach, stride);
  const [top, left, bottom, right] = pads;
  const out = [
    Math.floor((height + top + bottom - reach[0]) / stride[0]) + 1,
    Math.floor((width + left + right - reach[1]) / stride[1]) + 1,
  ];
  const picture = r.channelsFirst(x);
  const plain = [...stride, ...dilation, ...pads].every((number) => number === 1);
  const fast = plain ? winograd(r, picture, filter, false) : undefined;
  if (fast) return bias ? add(r, r.fromChannelsFirst(fast), bias) : r.fromChannelsFirst(fast);
  const inputs = [picture, r.value(transposed(filter, [3, 2, 0, 1]))];
  if (bias) inputs.push(r.value(r.reshape(bias, [outputs])));
  const settings: Attributes = {
    kernel_shape: { ints: [kh, kw] },
    strides: { ints: stride },
    dilations: { ints: dilation },
    pads: { ints: pads },
  };
  return r.fromChannelsFirst(r.graph.node('Conv', inputs, { shape: [batch, outputs, ...out] }, settings));
}

/**
 * The gradient of a convolution's input is the transposed convolution of `dy`, and that takes the filter as it lies in its
 * file. Where memory is plenty and no pixel was skipped, it is an ordinary convolution with the filter turned around, which the session
 * does once: 95 instead of 60 GFLOPS on one core.
 */
function conv2dInputGrad(
  r: Recorder,
  dy: View,
  filter: View,
  pads: OnnxPads,
  stride: readonly [number, number],
  size: readonly [number, number],
): View {
  const fast = [...stride, ...pads].every((number) => number === 1)
    ? winograd(r, r.channelsFirst(dy), filter, true)
    : undefined;
  if (fast) return r.fromChannelsFirst(fast);
  const [batch = 1, h = 1, w = 1] = dy.shape;
  const [kh = 1, kw = 1, inputs = 1] = filter.shape;
  const [top, left, bottom, right] = pads;
  // Rows and columns that no window reached.
  const rest = [size[0] + top + bottom - (h - 1) * stride[0] - kh, size[1] + left + right - (w - 1) * stride[1] - kw];
  const settings: Attributes = {
    kernel_shape: { ints: [kh, kw] },
    strides: { ints: stride },
    pads: { ints: pads },
    output_padding: { ints: rest },
  };
  const output = { shape: [batch, inputs, ...size] };
  const around = [kh - 1 - top, kw - 1 - left, kh - 1 - bottom, kw - 1 - right];
  if (r.target.roomy && stride[0] === 1 && stride[1] === 1 && around.every((pad) => pad >= 0)) {
    const turned = r.value(transposed(reverse(r, filter, [0, 1]), [2, 3, 0, 1]));
    const plain: Attributes = { kernel_shape: { ints: [kh, kw] }, pads: { ints: around } };
    return r.fromChannelsFirst(r.graph.node('Conv', [r.channelsFirst(dy), turned], output, plain));
  }
  const operands = [r.channelsFirst(dy), r.value(transposed(filter, [3, 2, 0, 1]))];
  return r.fromChannelsFirst(r.graph.node('ConvTranspose', operands, output, settings));
}

function pool(r: Recorder, op: string, x: View, attributes: KernelAttributes, settings: Attributes): View {
  const [batch = 1, height = 1, width = 1, channels = 1] = x.shape;
  const [kernel, stride] = [pair(attributes.filterSize), pair(attributes.strides)];
  const pads = padsOf(attributes, [height, width], kernel, stride);
  const [top, left, bottom, right] = pads;
  const out = [
    Math.floor((height + top + bottom - kernel[0]) / stride[0]) + 1,
    Math.floor((width + left + right - kernel[1]) / stride[1]) + 1,
  ];
  const value = r.graph.node(
    op,
    [r.channelsFirst(x)],
    { shape: [batch, channels, ...out] },
    { kernel_shape: { ints: kernel }, strides: { ints: stride }, pads: { ints: pads }, ...settings },
  );
  return r.fromChannelsFirst(value);
}

function resize(r: Recorder, x: View, { size, alignCorners, halfPixelCenters }: KernelAttributes, mode: string): View {
  const [batch = 1, height = 1, width = 1, channels = 1] = x.shape;
  const [newHeight = 1, newWidth = 1] = [size].flat();
  const coordinates = alignCorners ? 'align_corners' : halfPixelCenters ? 'half_pixel' : 'asymmetric';
  const shape = [batch, channels, newHeight, newWidth];
  const scales = r.graph.floats([1, 1, newHeight / height, newWidth / width]);
  const settings: Attributes = {
    mode: { string: mode },
    coordinate_transformation_mode: { string: coordinates },
    // For `linear` it has no meaning.
    nearest_mode: { string: alignCorners ? 'round_prefer_ceil' : 'floor' },
  };
  return r.fromChannelsFirst(r.graph.node('Resize', [r.channelsFirst(x), undefined, scales], { shape }, settings));
}

export const PICTURES: KernelTable = {
  Conv2D: (r, input, attributes) => conv2d(r, input('x'), input('filter'), attributes),
  FusedConv2D: (r, input, attributes, all) =>
    activated(
      r,
      conv2d(r, input('x'), input('filter'), attributes, all.length > 2 ? input('bias') : undefined),
      attributes,
    ),
  Conv2DBackpropInput: (r, input, attributes) => {
    const { inputShape, strides } = attributes;
    const [kh = 1, kw = 1] = input('filter').shape;
    const size = [inputShape[1], inputShape[2]] as const;
    const pads = padsOf(attributes, size, [kh, kw], pair(strides));
    return conv2dInputGrad(r, input('dy'), input('filter'), pads, pair(strides), size);
  },
  Conv2DInputGrad: (r, input, { stride, pads: [top, bottom, left, right], size }) => {
    const [height = 1, width = 1] = [size].flat();
    const pads = [top, left, bottom, right] as const;
    return conv2dInputGrad(r, input('dy'), input('filter'), pads, [stride, stride], [height, width]);
  },
  AvgPool: (r, input, attributes) => pool(r, 'AveragePool', input('x'), attributes, { count_include_pad: { int: 0 } }),
  MaxPool: (r, input, attributes) => pool(r, 'MaxPool', input('x'), attributes, {}),
  ResizeNearestNeighbor: (r, input, attributes) => resize(r, input('images'), attributes, 'nearest'),
  ResizeBilinear: (r, input, attributes) => resize(r, input('images'), attributes, 'linear'),
};

function unsupported(where: string, expected: string, found: string): TextualInversionError {
  return new TextualInversionError('KERNEL_UNSUPPORTED', { where, expected, found });
}
