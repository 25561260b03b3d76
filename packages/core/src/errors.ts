/**
 * Every failure a caller can act on, by what has to change to make it go away.
 * The part before the underscore names the thing that is wrong.
 */
export type ErrorCode =
  | 'IMAGE_NONE'
  | 'IMAGE_FORMAT'
  | 'IMAGE_CORRUPT'
  | 'IMAGE_TOO_LARGE'
  | 'TOKEN_INVALID'
  | 'TOKEN_EXISTS'
  | 'INITIALIZER_INVALID'
  | 'PROMPT_TOO_LONG'
  | 'MODEL_MISSING_FILE'
  | 'MODEL_CONFIG'
  | 'MODEL_UNSUPPORTED'
  | 'WEIGHT_MISSING'
  | 'WEIGHT_SHAPE'
  | 'WEIGHT_UNREAD'
  | 'WEIGHT_FORMAT'
  | 'WEIGHT_NOT_FINITE'
  | 'WEIGHT_CHANGED'
  | 'CONCEPT_FORMAT'
  | 'CONCEPT_UNSAFE'
  | 'CONCEPT_WIDTH'
  | 'OPTION_INVALID'
  | 'OPTION_UNKNOWN'
  | 'SIZE_INVALID'
  | 'LOSS_NOT_FINITE'
  | 'CHECKPOINT_MISMATCH'
  | 'CHECKPOINT_CORRUPT'
  | 'OUTPUT_EXISTS'
  | 'OUTPUT_UNWRITABLE'
  | 'OUTPUT_FAILED'
  | 'BACKEND_UNKNOWN'
  | 'BACKEND_UNAVAILABLE'
  | 'BACKEND_LOST'
  | 'BACKEND_MEMORY'
  | 'KERNEL_UNSUPPORTED'
  | 'DOWNLOAD_FAILED'
  | 'STORAGE_FULL'
  | 'STORAGE_BUSY'
  | 'ABORTED';

/** What an error says, in the order a reader needs it. */
export interface ErrorParts {
  /** The option, file or tensor the error is about, such as `unet.conv_in.weight`. */
  where: string;
  expected?: string;
  found?: string;
  /** What to do about it, as a full sentence. */
  fix?: string;
  /** The same facts for a program. */
  details?: Record<string, unknown>;
  cause?: unknown;
}

/** The one error class of the library: switch on `code`, show `message`. */
export class TextualInversionError extends Error {
  override readonly name = 'TextualInversionError';
  readonly code: ErrorCode;
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, parts: ErrorParts) {
    const facts = [parts.expected && `expected ${parts.expected}`, parts.found && `found ${parts.found}`];
    const middle = facts.filter(Boolean).join(', ');
    const fix = parts.fix ? `. ${parts.fix}` : '';
    super(
      `${parts.where}${middle ? `: ${middle}` : ''}${fix}`,
      parts.cause === undefined ? undefined : { cause: parts.cause },
    );
    this.code = code;
    this.details = { where: parts.where, ...parts.details };
  }
}

/** What calls say of a model that was disposed of. */
export function disposedModel(): TextualInversionError {
  return new TextualInversionError('OPTION_INVALID', {
    where: 'model',
    expected: 'a loaded model',
    found: 'one that was disposed of',
    fix: 'Load it again.',
  });
}

/** Throws if the caller has asked to stop. */
export function throwIfAborted(signal: AbortSignal | undefined, where: string): void {
  if (signal?.aborted) {
    throw new TextualInversionError('ABORTED', { where, found: 'an abort signal', cause: signal.reason });
  }
}
