const v = require('validator');
module.exports = async () => ({
  email: [v.isEmail('a+b@c.co'), v.isEmail('a@b')], iban: [v.isIBAN('GB82WEST12345698765432'), v.isIBAN('GB82WEST12345698765433')],
  card: v.isCreditCard('4111 1111 1111 1111'), norm: v.normalizeEmail('Some.One+tag@googlemail.com'),
});
