/**
 * The lives of nodes: an incarnation is live from a `joined` that counts until it leaves or is fenced (rule 3). A `joined`
 * fences older incarnations of its node. An incarnation that was once dead, or fenced before it joined, never lives.
 */
import type { Fenced, Joined } from '../../protocol/entries.ts'
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
  if (profile.node !== node) return undefined
  if (state.members.has(incarnation) || state.neverToJoin.has(incarnation)) return undefined
  for (const other of state.membersBySubject.values()) {
    if (other.node === node) state.endMember(other, 'fenced', `node "${node}" joined again as ${incarnation}`)
  }
  const member = new Member(subject, incarnation, profile, state.timeMs, state.position)
  state.members.set(incarnation, member)
  state.membersBySubject.set(subject, member)
  state.changes.push({ what: 'joined', member })
  return member
}

/** Folds `fenced` on the journal of `incarnation`, whether it ever joined or not. */
export function foldFenced(state: LedgerState, incarnation: string, entry: Fenced): void {
  const member = state.members.get(incarnation)
  if (member !== undefined) {
    state.endMember(member, 'fenced', entry[1])
    return
  }
  if (state.neverToJoin.has(incarnation)) return
  state.neverToJoin.add(incarnation)
  state.deadIncarnations.push(incarnation)
}
