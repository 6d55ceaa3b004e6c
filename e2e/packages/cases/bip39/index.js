const bip39 = require('bip39');
module.exports = async () => {
  const words = bip39.entropyToMnemonic('00'.repeat(16));
  return { seed: (await bip39.mnemonicToSeed(words, 'TREZOR')).toString('hex'), words, bad: bip39.validateMnemonic(words.replace('about', 'zoo')) };
};
