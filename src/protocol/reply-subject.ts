/** Where answers may go. */

const subjectToken = /^[!-)+-;=?-~]+$/ // printable ASCII without space, "*", "<" and ">"
const subjectCharsMax = 256

/**
 * True if whoever asks may be answered there. A reply subject is the asker's word alone: on one of the server's or of
 * Troupe's the answer would be an act, in the name of whoever answers.
 */
export function isReplySubject(subject: string): boolean {
  if (subject.length > subjectCharsMax) return false
  const first = subject.split('.', 1)[0]!
  if (first === 'troupe' || first.startsWith('$') || (first.startsWith('_') && !first.startsWith('_INBOX')))
    return false
  return subject.split('.').every((token) => subjectToken.test(token))
}
