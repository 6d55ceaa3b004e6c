const pgp = require('openpgp');
module.exports = async () => {
  const { privateKey, publicKey } = await pgp.generateKey({ userIDs: [{ name: 'A', email: 'a@b.ch' }], format: 'object' });
  const message = await pgp.encrypt({ message: await pgp.createMessage({ text: 'attack at dawn' }), encryptionKeys: publicKey, signingKeys: privateKey });
  const { data, signatures } = await pgp.decrypt({ message: await pgp.readMessage({ armoredMessage: message }), decryptionKeys: privateKey, verificationKeys: publicKey });
  return { text: data, signed: await signatures[0].verified, armor: message.split('\n')[0] };
};
