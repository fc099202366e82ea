/** Delays that follow from the log alone: every fold computes the same whole milliseconds. */
import type { RestartPolicy, RetryPolicy } from '../../protocol/options.ts'

/** A 32-bit FNV-1a hash of the text and a number: the "randomness" of jitter, equal in every fold. */
export function jitterHash(text: string, salt: number): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (salt & 0xffff), 0x01000193)
  hash = Math.imul(hash ^ (salt >>> 16), 0x01000193)
  hash ^= hash >>> 15
  return hash >>> 0
}

/**
 * Milliseconds to wait after `attempt` failed (1 for the first): min(maxMs, backoffMs × factor^(attempt − 1)), moved by up
 * to ± jitterPercent. Exponential backoff with jitter, as in the AWS builders' library, but with a hash for the dice.
 */
export function retryDelayMs(policy: RetryPolicy, attempt: number, task: string, turn: number): number {
  let delay = policy.backoffMs
  for (let i = 1; i < attempt && delay < policy.maxMs; i++) {
    const longer = Math.floor(delay * policy.factor)
    // It will not grow any more: a millionth attempt costs no more than the second.
    if (longer === delay) break
    delay = longer
  }
  delay = Math.min(policy.maxMs, delay)
  const spread = Math.floor((delay * policy.jitterPercent) / 100)
  return spread === 0 ? delay : delay - spread + (jitterHash(task, turn) % (2 * spread + 1))
}

const restartBackoffMs = 200
const restartBackoffMaxMs = 30_000

/**
 * What becomes of a task whose node died: the delay before it may run again (the first time none, then 200 ms doubling
 * up to 30 s), or `undefined` when that happened more than `intensity` times within `periodMs` (OTP's restart
 * intensity). `times` are the log times of earlier restarts; the caller keeps what is returned.
 */
export function restartAfter(
  policy: RestartPolicy,
  times: readonly number[],
  nowMs: number,
): { times: number[]; delayMs: number | undefined } {
  const recent = times.filter((time) => time > nowMs - policy.periodMs)
  recent.push(nowMs)
  if (recent.length > policy.intensity) return { times: recent, delayMs: undefined }
  const delayMs = recent.length === 1 ? 0 : Math.min(restartBackoffMaxMs, restartBackoffMs * 2 ** (recent.length - 2))
  return { times: recent, delayMs }
}
