const bcrypt = require('bcrypt');
module.exports = async () => {
  const hash = bcrypt.hashSync('U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.');
  return { hash, rounds: bcrypt.getRounds(hash) };
};
