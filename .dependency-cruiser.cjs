/** The arrows of docs/ARCHITECTURE.md, as rules that fail the build. */
const core = '^packages/core/src/';
/** @param {string} name @param {string} from @param {string[]} allowed what `from` may import, besides itself */
const onlyImports = (name, from, allowed) => ({
  name,
  severity: 'error',
  comment: `${from} may import only ${allowed.join(', ')} (see docs/ARCHITECTURE.md)`,
  from: { path: `${core}${from}`, pathNot: '\\.test\\.ts$' },
  to: { path: core, pathNot: [from, ...allowed].map((path) => `${core}${path}`) },
});
const base = ['errors', 'options', 'random', 'platform'];

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    onlyImports('schedules', 'schedules/', ['errors', 'options', 'random']),
    onlyImports('tokenizers', 'tokenizers/', ['errors', 'platform']),
    onlyImports('nn', 'nn/', ['tf\\.ts', 'errors', 'weights/scope']),
    onlyImports('weights-know-no-model', 'weights/', ['tf\\.ts', ...base]),
    onlyImports('models', 'models/', [
      'tf\\.ts',
      'nn/',
      'concepts/(inject|concept)\\.ts',
      'weights/',
      'schedules/',
      'tokenizers/',
      ...base,
    ]),
    onlyImports('runtime', 'runtime/', ['tf\\.ts', 'weights/', 'nn/', ...base]),
    {
      name: 'nothing-imports-pipeline',
      severity: 'error',
      from: { path: core, pathNot: [`${core}(pipeline/|evaluation/|index\\.ts)`, '\\.test\\.ts$'] },
      to: { path: `${core}pipeline/` },
    },
    {
      name: 'one-door-to-tensorflow',
      severity: 'error',
      comment: 'Core reaches TensorFlow.js through tf.ts alone; backends are bound outside',
      from: { path: core, pathNot: [`${core}tf\\.ts`, '\\.test\\.ts$'] },
      to: { path: '@tensorflow/' },
    },
    {
      name: 'core-and-onnx-know-no-platform',
      severity: 'error',
      from: { path: '^packages/(core|onnx)/src/', pathNot: '\\.test\\.ts$' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'core-is-the-root',
      severity: 'error',
      from: { path: '^packages/core/src/', pathNot: '\\.test\\.ts$' },
      to: { path: '^packages/(?!core/)' },
    },
    {
      name: 'onnx-on-core-alone',
      severity: 'error',
      from: { path: '^packages/onnx/src/', pathNot: '\\.test\\.ts$' },
      to: { path: '^packages/(?!core/|onnx/)' },
    },
    {
      name: 'node-and-web-are-strangers',
      severity: 'error',
      from: { path: '^packages/(node|web)/src/', pathNot: '\\.test\\.ts$' },
      to: { path: '^packages/(?!core/|onnx/|tiny-model/|$1/)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
  },
};
