const OAuth = require('oauth-1.0a');
const { createHmac } = require('node:crypto');
const oauth = new OAuth({
  consumer: { key: 'xvz1evFS4wEEPTGEFPHBog', secret: 'kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw' }, signature_method: 'HMAC-SHA1',
  hash_function: (text, key) => createHmac('sha1', key).update(text).digest('base64'),
});
module.exports = async () => {
  oauth.getNonce = () => 'kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg';
  oauth.getTimeStamp = () => 1318622958;
  return oauth.authorize({ url: 'https://api.twitter.com/1.1/statuses/update.json', method: 'POST', data: { include_entities: true, status: 'Hello Ladies + Gentlemen, a signed OAuth request!' } },
    { key: '370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb', secret: 'LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE' }).oauth_signature;
};
