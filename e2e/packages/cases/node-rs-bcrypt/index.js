const { compare } = require('@node-rs/bcrypt');
const known = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW';
module.exports = async () => [await compare('U*U', known), await compare('U*U*', known)];
