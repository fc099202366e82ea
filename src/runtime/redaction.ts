/**
 * Keeps credentials out of whatever this process prints. Values of tasks are kept out by not being logged in the first
 * place; this is for what slips in by way of messages: URLs, keys, tokens.
 */

const censor = '[redacted]'

const secretFields =
  'pass(?:word|phrase)?|token|secret|authorization|cookie|set-cookie|seed|nkey|creds|api[-_]?key|private[-_]?key'

/** What looks like a credential, and what stays of it. */
const forms: readonly (readonly [form: RegExp, replacement: string])[] = [
  // user:password@ of a URL
  [/(\b[a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/@"'\\]{1,512}@/gi, `$1${censor}@`],
  // parameters of a URL
  [/([?&](?:pass(?:word)?|token|secret|signature|sig|api[-_]?key|access[-_]?key)=)[^\s&"'\\]{1,2048}/gi, `$1${censor}`],
  // fields of JSON, and of JSON in JSON
  [new RegExp(`("(?:${secretFields})"\\s*:\\s*)"(?:[^"\\\\]|\\\\.)*"`, 'gi'), `$1"${censor}"`],
  [new RegExp(`(\\\\+"(?:${secretFields})\\\\+"\\s*:\\s*\\\\+")[^"\\\\]*`, 'gi'), `$1${censor}`],
  [/\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,2048}/gi, `$1 ${censor}`],
  // seeds of NKeys
  [/\bS[ACNOUX][A-Z2-7]{56}\b/g, censor],
  // JWTs
  [/\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?/g, censor],
  // PEM and credentials files, with line ends as they are or as JSON has them
  [/-----BEGIN [A-Z ]*(?:PRIVATE KEY|SEED|JWT)-----.*?(?:-----+END [A-Z ]*-----+|$)/gs, censor],
]

/** Secrets of this process, whatever they look like. */
const known = new Set<string>()
/** What is shorter would be found everywhere. */
const knownCharsMin = 8

/** From now on these are not printed. */
export function keepSecret(...secrets: readonly (string | undefined)[]): void {
  for (const secret of secrets) if (secret !== undefined && secret.length >= knownCharsMin) known.add(secret)
}

/** Returns the text without credentials. */
export function redacted(text: string): string {
  let shown = text
  for (const secret of known) if (shown.includes(secret)) shown = shown.replaceAll(secret, censor)
  for (const [form, replacement] of forms) shown = shown.replace(form, replacement)
  return shown
}

const framesMax = 10

/**
 * An error as a log line has it. The words of an error of ours are shown; those of others may quote what they were given,
 * so that only name, code and places in the code are.
 */
export function loggedError(error: unknown): object {
  if (!(error instanceof Error)) return { name: typeof error }
  const { code } = error as { code?: unknown }
  const isOurs = error.name === 'TroupeError'
  return {
    name: error.name,
    ...(typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) && { code }),
    ...(isOurs && { message: error.message }),
    at: framesOf(error),
    ...(error.cause !== undefined && { cause: loggedError(error.cause) }),
  }
}

/** An error of task code, also one of ours that carries its words. */
export function strayError(error: unknown): object {
  const { message: _, ...rest } = loggedError(error) as { message?: string }
  return rest
}

function framesOf(error: Error): string[] {
  const lines = typeof error.stack === 'string' ? error.stack.split('\n') : []
  return lines
    .map((line) => line.trim())
    .filter((line) => /^at .*(:\d+:\d+\)?|\(native\)|<anonymous>\)?)$/.test(line))
    .slice(0, framesMax)
}
