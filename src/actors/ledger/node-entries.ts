/**
 * The lives of nodes: an incarnation is live from a `joined` that counts until it leaves or is fenced (rule 3). A `joined`
 * fences older incarnations of its node. An incarnation that was once dead, or fenced before it joined, never lives.
 */
import type { Fenced, Joined } from '../../protocol/entries.ts'
import { isName } from '../../protocol/names.ts'
import { Member } from './member.ts'
import type { LedgerState } from './state.ts'

/** Folds `joined` on the journal of `incarnation`. Returns the member, or undefined when it does not count. */
export function foldJoined(
  state: LedgerState,
  subject: string,
  node: string,
  incarnation: string,
  entry: Joined,
): Member | undefined {
  const profile = entry[1]
  if (profile.node !== node || !isName(incarnation)) return undefined
  if (state.members.has(incarnation) || state.deadIncarnations.has(incarnation)) return undefined
  for (const other of state.membersBySubject.values()) {
    if (other.node === node) state.endMember(other, 'fenced', `node "${node}" joined again as ${incarnation}`)
  }
  const member = new Member(subject, incarnation, profile, state.timeMs, state.position)
  state.members.set(incarnation, member)
  state.membersBySubject.set(subject, member)
  state.changes.push({ what: 'joined', member })
  return member
}

/**
 * Folds `fenced` on the journal of `incarnation`, whether it ever joined or not. Returns whether it counted: on the journal
 * of one node it says nothing about another (rule 13).
 */
export function foldFenced(state: LedgerState, subject: string, incarnation: string, entry: Fenced): boolean {
  const member = state.members.get(incarnation)
  if (member !== undefined) {
    if (member.subject !== subject) return false
    state.endMember(member, 'fenced', entry[1])
    return true
  }
  if (!isName(incarnation)) return false
  state.bury(incarnation)
  return true
}
