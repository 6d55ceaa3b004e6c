import { sha256 } from '@noble/hashes/sha2.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { blake2b } from '@noble/hashes/blake2.js';
import { scrypt } from '@noble/hashes/scrypt.js';
import { bytesToHex as hex, utf8ToBytes as utf8 } from '@noble/hashes/utils.js';
export default async () => Response.json({
  sha256: hex(sha256(utf8('abc'))), keccak: hex(keccak_256(utf8(''))), blake2b: hex(blake2b(utf8('abc'))),
  scrypt: hex(scrypt(utf8(''), utf8(''), { N: 16, r: 1, p: 1, dkLen: 64 })),
});
