const { Wallet, getAddress, Interface, parseEther, verifyMessage } = require('ethers');
module.exports = async () => {
  const w = new Wallet('0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80');
  const erc20 = new Interface(['function transfer(address to, uint256 amount)']);
  return {
    address: w.address, checksum: getAddress('0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed'),
    data: erc20.encodeFunctionData('transfer', [w.address, parseEther('1')]), signer: verifyMessage('hi', await w.signMessage('hi')),
  };
};
