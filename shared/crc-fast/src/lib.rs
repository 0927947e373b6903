//! Stands in for `crc-fast`, from which `aws-smithy-checksums` takes three checksums of S3.
//!
//! That crate holds tables of some forty others as well, and chooses among them as it runs, so that no linker can leave them
//! out: 0.66 MB that no compression makes smaller, in every function. The interface is its own, as far as the SDK uses it; if a
//! later SDK uses more of it, the workspace doesn't compile.

/// Which checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrcAlgorithm {
    /// S3's `CRC32`, which is that of ZIPs: the only one that the gatekeeper's calls ask for.
    Crc32IsoHdlc,
    /// S3's `CRC32C`.
    Crc32Iscsi,
    /// S3's `CRC64NVME`.
    Crc64Nvme,
}

/// A checksum under way.
#[derive(Debug, Clone)]
pub struct Digest(State);

#[derive(Debug, Clone)]
enum State {
    IsoHdlc(crc32fast::Hasher),
    Tabled { table: &'static [u64; 256], state: u64, mask: u64 },
}

static ISCSI: [u64; 256] = table(0x82F6_3B78);
static NVME: [u64; 256] = table(0x9A6C_9329_AC4B_C9B5);

impl Digest {
    /// That of no bytes.
    #[must_use]
    pub fn new(algorithm: CrcAlgorithm) -> Self {
        let tabled = |table, mask| State::Tabled { table, state: mask, mask };
        Self(match algorithm {
            CrcAlgorithm::Crc32IsoHdlc => State::IsoHdlc(crc32fast::Hasher::new()),
            CrcAlgorithm::Crc32Iscsi => tabled(&ISCSI, u32::MAX.into()),
            CrcAlgorithm::Crc64Nvme => tabled(&NVME, u64::MAX),
        })
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::IsoHdlc(hasher) => hasher.update(bytes),
            State::Tabled { table, state, .. } => {
                for byte in bytes {
                    let [low, ..] = state.to_le_bytes();
                    #[expect(clippy::indexing_slicing, reason = "a byte is less than 256")]
                    let change = table[usize::from(low ^ byte)];
                    *state = (*state >> 8) ^ change;
                }
            }
        }
    }

    /// The checksum of all bytes so far.
    #[must_use]
    pub fn finalize(&self) -> u64 {
        match &self.0 {
            State::IsoHdlc(hasher) => hasher.clone().finalize().into(),
            State::Tabled { state, mask, .. } => state ^ mask,
        }
    }
}

/// The checksum of these bytes.
#[must_use]
pub fn checksum(algorithm: CrcAlgorithm, bytes: &[u8]) -> u64 {
    let mut digest = Digest::new(algorithm);
    digest.update(bytes);
    digest.finalize()
}

/// What each byte changes, for a polynomial that is written with its lowest power first.
#[expect(clippy::indexing_slicing, reason = "the loop ends before 256")]
const fn table(polynomial: u64) -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut state = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            state = (state >> 1) ^ (polynomial * (state & 1));
            bit += 1;
        }
        table[byte] = state;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that the catalogue of CRC algorithms has for `123456789` (reveng, "Catalogue of parametrised CRC algorithms").
    #[test]
    fn each_checksum_is_the_catalogues() {
        for (algorithm, check) in [
            (CrcAlgorithm::Crc32IsoHdlc, 0xCBF4_3926),
            (CrcAlgorithm::Crc32Iscsi, 0xE306_9283),
            (CrcAlgorithm::Crc64Nvme, 0xAE8B_1486_0A79_9888),
        ] {
            assert_eq!(checksum(algorithm, b"123456789"), check, "{algorithm:?}");
            let mut digest = Digest::new(algorithm);
            digest.update(b"1234");
            digest.update(b"");
            digest.update(b"56789");
            assert_eq!(digest.finalize(), check, "{algorithm:?} in pieces");
            assert_eq!(checksum(algorithm, b""), 0, "{algorithm:?} of nothing");
        }
    }
}
