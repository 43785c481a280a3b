/** The partition that a Java client's default partitioner chooses for a key of these bytes. */
export function toPartition(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}

/** MurmurHash2, 32 bits, with Kafka's seed. Source: org.apache.kafka.common.utils.Utils.murmur2. */
export function murmur2(data: Uint8Array): number {
  const mixer = 0x5bd1e995
  const tail = data.length & ~3
  let hash = 0x9747b28c ^ data.length
  for (let at = 0; at < tail; at += 4) {
    let word = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)
    word = Math.imul(word, mixer)
    word = Math.imul(word ^ (word >>> 24), mixer)
    hash = Math.imul(hash, mixer) ^ word
  }
  if (tail < data.length) {
    for (let at = data.length - 1; at >= tail; at -= 1) hash ^= data[at]! << (8 * (at - tail))
    hash = Math.imul(hash, mixer)
  }
  hash = Math.imul(hash ^ (hash >>> 13), mixer)
  return hash ^ (hash >>> 15)
}
